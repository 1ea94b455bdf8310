// Up and down move within a column of radio buttons; left and right between A and B of a row.
document.querySelector(".choose")?.addEventListener("keydown", (event) => {
  const other = { ArrowLeft: "a", ArrowRight: "b" }[event.key];
  if (!other || event.target.type !== "radio") return;
  event.preventDefault();
  const button = event.target.closest("tr").querySelector(`input[name="${other}"]`);
  button.focus();
  button.checked = true;
});
