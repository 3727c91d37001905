"""Long calls as generators of small frozen events: train, evaluate, predict. Close one to cancel it."""
