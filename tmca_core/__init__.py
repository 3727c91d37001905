"""The network, its training and its evaluation, files and reports; no GUI."""
