"""How a scenario is played: grids, views, progress, sessions and output folders."""
