"""What healthy means: observe(), then judge()."""
