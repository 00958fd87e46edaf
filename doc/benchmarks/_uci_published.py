"""Published results on the UCI regression sets, on the same splits: (RMSE, log density) of each set.

PBP: Hernández-Lobato & Adams (2015); deep ensembles: Lakshminarayanan et al. (2017); both as in table 1 of the latter.
MC dropout: means of the per-split results of Gal & Ghahramani (2016) with one hidden layer and 100-fold epochs.
"""

PUBLISHED = {
    "pbp": {
        "bostonHousing": (3.01, -2.57),
        "concrete": (5.67, -3.16),
        "energy": (1.80, -2.04),
        "kin8nm": (0.10, 0.90),
        "naval-propulsion-plant": (0.01, 3.73),
        "power-plant": (4.12, -2.84),
        "protein-tertiary-structure": (4.73, -2.97),
        "wine-quality-red": (0.64, -0.97),
        "yacht": (1.02, -1.63),
    },
    "deep-ensembles": {
        "bostonHousing": (3.28, -2.41),
        "concrete": (6.03, -3.06),
        "energy": (2.09, -1.38),
        "kin8nm": (0.09, 1.20),
        "naval-propulsion-plant": (0.00, 5.63),
        "power-plant": (4.11, -2.79),
        "protein-tertiary-structure": (4.71, -2.83),
        "wine-quality-red": (0.64, -0.94),
        "yacht": (1.58, -1.18),
    },
    "mc-dropout": {
        "bostonHousing": (2.90, -2.40),
        "concrete": (4.83, -2.94),
        "energy": (0.54, -1.21),
        "kin8nm": (0.079, 1.14),
        "naval-propulsion-plant": (0.0007, 4.45),
        "power-plant": (4.01, -2.81),
        "protein-tertiary-structure": (4.27, -2.87),
        "wine-quality-red": (0.62, -0.93),
        "yacht": (0.67, -1.25),
    },
}
