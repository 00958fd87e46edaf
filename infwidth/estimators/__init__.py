"""The estimators, a file each; import them from ``infwidth``."""
