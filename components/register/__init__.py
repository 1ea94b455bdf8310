"""Register: put the best model of each data set where users look for it, if it passed."""
