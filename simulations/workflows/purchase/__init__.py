"""CrowdBuy in worlds: played, scored, attacked, reported."""
