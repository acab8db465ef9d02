"""How fast networks train and infer here, and beside other codes."""
