"""The pipeline around the steps: typed experiments, the graph, compiling, and running it here."""
