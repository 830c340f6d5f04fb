"""The words of titles, categories, brands and queries: departments, each with its categories."""

DEPARTMENTS = {
    "kitchen": ("kettle", "toaster", "frying pan", "knife", "cutting board", "mug", "teapot", "blender",
                "grater", "baking tray", "lunch box", "corkscrew"),
    "garden": ("watering can", "rake", "lantern", "bird house", "hammock", "planter", "shears", "hose",
               "spade", "wheelbarrow", "parasol", "fire bowl"),
    "sports": ("yoga mat", "dumbbell", "football", "racket", "bike helmet", "rope", "tent", "sleeping bag",
               "swimsuit", "rucksack", "water bottle", "skateboard"),
    "clothing": ("scarf", "jacket", "t-shirt", "jumper", "raincoat", "hat", "gloves", "socks", "belt",
                 "skirt", "shirt", "dress"),
    "electronics": ("headphones", "charger", "keyboard", "speaker", "webcam", "torch", "camera", "radio",
                    "monitor", "router", "mouse", "alarm clock"),
    "toys": ("puzzle", "kite", "doll", "train set", "building blocks", "board game", "plush bear", "yo-yo",
             "marble run", "drum", "robot", "dice set"),
    "home": ("cushion", "blanket", "lamp", "rug", "mirror", "vase", "candle", "clock", "shelf", "basket",
             "curtain", "picture frame"),
    "books": ("novel", "cookbook", "atlas", "picture book", "poetry book", "travel guide", "dictionary",
              "comic", "notebook", "calendar", "biography", "songbook"),
}  # fmt: skip

# By popularity, one department after the other: the first few make a small shop.
CATEGORIES = tuple(
    (department, nouns[rank]) for rank in range(12) for department, nouns in DEPARTMENTS.items()
)

ADJECTIVES = ("red", "blue", "green", "light", "sturdy", "small", "large", "classic", "modern", "soft")

BRANDS = (
    "Alder", "Birch", "Cedar", "Dune", "Ember", "Fjord", "Grove", "Harbour", "Isle", "Juniper", "Kestrel",
    "Larch", "Meadow", "North", "Orchard", "Pebble", "Quarry", "Ridge", "Sorrel", "Tide", "Umber", "Vale",
    "Willow", "Yarrow",
)  # fmt: skip

INCOMES = ("low", "middle", "high")
REGIONS = ("north", "east", "south", "west")
AGES = ("18-29", "30-44", "45-59", "60+")
