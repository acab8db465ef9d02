"""Analysis of networks: layers, costs and receptive fields."""
