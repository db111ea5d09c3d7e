"""The commands, one a module. Only the scripts and `__main__` import them."""
