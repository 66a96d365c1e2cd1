"""PRIC: representations that hide chosen attributes and serve tasks unknown beforehand (Li et al. 2020)."""
