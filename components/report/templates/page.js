// On a phone a row of a wide table becomes a card; each cell needs its column's name for that.
for (const table of document.querySelectorAll("table.stacked")) {
  const names = [...table.tHead.rows[0].cells].map((heading) => heading.textContent.trim());
  for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => (cell.dataset.label = names[i]));
  table.classList.add("labelled");
}
// Sort a table by a column: a button in each of its headings, and aria-sort for those who can't see the arrow.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const first = [...body.rows];
  headings.forEach((heading, column) => {
    if (heading.scope !== "col") return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const order = heading.ariaSort === "ascending" ? "descending" : "ascending";
      for (const other of headings) other.ariaSort = null;
      heading.ariaSort = order;
      const sign = order === "ascending" ? 1 : -1;
      const key = ({ cells: { [column]: cell } }) => (cell.dataset.value ?? cell.textContent).trim();
      const number = (text) => Number(text.replaceAll(/[,?]/g, ""));
      // What is empty stays at the end, either way.
      body.append(...first.toSorted((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (!a || !b) return !a - !b;
        const [x, y] = [number(a), number(b)];
        return sign * (isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y);
      }));
    });
  });
}
// Paper has no summary to click on.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
