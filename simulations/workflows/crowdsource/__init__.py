"""PRIC played: a collector gets representations of pictures for tasks unknown beforehand, and attacks them."""
