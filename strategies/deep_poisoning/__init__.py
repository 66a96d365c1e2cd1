"""Deep Poisoning (Guo et al., WACV 2021): features that can be pooled and not be turned back into images."""
