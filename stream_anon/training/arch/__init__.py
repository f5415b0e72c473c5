"""The networks as torch modules: for training and export only, never at run time."""
