"""One module per verb: gather, decide with the pure modules, print or write."""
