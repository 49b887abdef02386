"""The closed word lists that skills draw from. Short, common, and each one token or two."""

CATEGORIES = {
    "fruit": "apple banana cherry grape lemon mango orange peach pear plum",
    "animal": "bear cat dog eagle fox horse lion mouse rabbit tiger",
    "colour": "black blue brown green grey pink purple red white yellow",
    "vegetable": "bean carrot corn garlic leek onion pea potato spinach tomato",
    "tool": "axe brush drill hammer knife ladder nail rope saw shovel",
    "instrument": "bell cello drum flute guitar harp horn organ piano violin",
    "planet": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": "January February March April May June July August September October November December",
    "season": "spring summer autumn winter",
}
LISTS = {name: tuple(words.split()) for name, words in CATEGORIES.items()}
PLURALS = {name: name + "s" for name in LISTS}

_PLAIN = "fruit animal colour vegetable tool instrument".split()
_MORE = (
    "boat book box bread bridge cake candle chair city cloud coat cup desk door dream field fire"
    " flower forest garden glass gold hand hat house island jacket key king lake lamp letter map"
    " market milk moon mountain night ocean paper pen phone picture queen rain river road school"
    " ship shoe silver snow star stone story street sugar sun table tea tower train tree water"
    " window wind wood world yard zebra"
)
WORDS = tuple(sorted({word for name in _PLAIN for word in LISTS[name]} | set(_MORE.split())))

NAMES = tuple(
    "Ada Adam Alice Amir Anna Ben Bob Carla Chen Clara Daniel David Elena Emma Eva Felix"
    " Fatima George Grace Hana Hugo Ida Ivan Jack James Jane Jin John Julia Kai Kim Lars"
    " Laura Lena Leo Lisa Lucas Luis Maria Mark Maya Mia Nina Noah Nora Olga Oliver Omar"
    " Oscar Paul Pedro Peter Rosa Sam Sara Sofia Tom Vera Yuki Zoe".split()
)
JOBS = tuple(
    "artist baker carpenter chef dentist doctor driver engineer farmer gardener judge lawyer"
    " nurse painter pilot plumber poet sailor singer teacher writer".split()
)
THINGS = tuple(
    "apples balls books boxes cakes cards chairs coins cups eggs hats keys lamps lemons"
    " oranges pears pens plums shoes stones".split()
)
