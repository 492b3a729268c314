"""Cooking and tools of the demo world: rules of thumb, rounded; within the demo this table is the truth."""

from __future__ import annotations

from models.demo.world import Aspect, Category

_TIME = Aspect(
    topic="the cooking time of {subject}",
    questions=(
        "How long do I cook {subject}?",
        "When is a pan of {subject} done?",
        "How many minutes does it take to cook {subject}?",
    ),
    statements=(
        "Cook {subject} for {value}.",
        "It takes {value} until {subject} can be served.",
        "Set the clock to {value} for {subject}.",
    ),
    details=(
        "Taste a little of the {subject} shortly before the end.",
        "Start to count when the pan is really hot, and not before.",
        "Smaller pieces need less, so cut everything to the same size.",
    ),
)
_METHOD = Aspect(
    topic="the best way to cook {subject}",
    questions=(
        "What is the best way to cook {subject}?",
        "How should I prepare {subject} for dinner?",
        "Should I boil, fry or bake {subject}?",
    ),
    statements=(
        "The best thing to do with {subject} is {value}.",
        "Good cooks agree that the way for {subject} is {value}.",
        "For tender {subject} the rule is {value}.",
    ),
    details=(
        "Wash the {subject} first, and keep the kitchen window open.",
        "Do not fill the pan to the top, since the steam needs room.",
        "Take it off the heat a moment early, because it goes on cooking.",
    ),
)
_SPICE = Aspect(
    topic="the seasoning of {subject}",
    questions=(
        "What goes well with {subject}?",
        "Which seasoning suits {subject}?",
        "My {subject} tastes of nothing. What should I add?",
    ),
    statements=(
        "Season {subject} with {value}.",
        "The classic partner of {subject} is {value}.",
        "Nothing lifts {subject} like {value}.",
    ),
    details=(
        "Add half of it early and the other half at the table.",
        "A spoon of it is enough for {subject} for four people.",
        "Warm it in the pan for a moment so that the smell opens up.",
    ),
)
_STORAGE = Aspect(
    topic="the shelf life of cooked {subject}",
    questions=(
        "How long can I keep cooked {subject}?",
        "How long does leftover {subject} stay good?",
        "When must I throw away cooked {subject}?",
    ),
    statements=(
        "Cooked {subject} stays good for {value}.",
        "You can keep leftover {subject} for {value}.",
        "Throw away cooked {subject} after {value}.",
    ),
    details=(
        "Put the {subject} into a closed box at the back of the fridge.",
        "Let it cool down first, but not for more than an hour.",
        "Write the date on the lid, and trust your nose as well.",
    ),
)
COOKING = Category(
    aspects=(_TIME, _METHOD, _SPICE, _STORAGE),
    values={
        "rice": ("eighteen minutes", "gentle simmering under a lid", "soy sauce", "one day"),
        "pasta": ("ten minutes", "boiling in salted water", "garlic and olive oil", "three days"),
        "barley": ("half an hour", "boiling in salted water", "butter and parsley", "four days"),
        "salmon": ("twelve minutes", "baking in a hot oven", "dill and mustard", "two days"),
        "chicken": ("forty minutes", "baking in a hot oven", "thyme and honey", "three days"),
        "spinach": ("two minutes", "steaming over hot water", "nutmeg and cream", "one day"),
        "broccoli": ("five minutes", "steaming over hot water", "garlic and olive oil", "three days"),
        "beef": ("three hours", "gentle simmering under a lid", "red wine and pepper", "three days"),
        "tofu": ("eight minutes", "frying in a wide pan", "soy sauce", "five days"),
    },
)

_USE = Aspect(
    topic="the use of a {subject}",
    questions=(
        "What is a {subject} good for?",
        "What can I do with a {subject}?",
        "Why would anybody buy a {subject}?",
    ),
    statements=(
        "A {subject} is made for {value}.",
        "People reach for a {subject} when the job is {value}.",
        "You buy a {subject} for {value}.",
    ),
    details=(
        "Try the {subject} on a spare piece before you begin.",
        "Work slowly at first, and let the weight do its part.",
        "For anything else there is a better thing in the shed.",
    ),
)
_CARE = Aspect(
    topic="the care of your {subject}",
    questions=(
        "How do I take care of my {subject}?",
        "How should a {subject} be looked after?",
        "What keeps a {subject} in good shape?",
    ),
    statements=(
        "To keep your {subject} in good shape you should {value}.",
        "After work with a {subject} always {value}.",
        "The owner of a {subject} has to {value}.",
    ),
    details=(
        "Five minutes are enough, and your {subject} will last for decades.",
        "Do it on the same day, since dirt dries and then sticks.",
        "Wear gloves while you do it, and put a newspaper below.",
    ),
)
_KEEP = Aspect(
    topic="the right place for your {subject}",
    questions=(
        "Where do I store my {subject}?",
        "What is a good place to keep a {subject}?",
        "My {subject} lies around. Where does it belong?",
    ),
    statements=(
        "Your {subject} belongs {value}.",
        "Store a {subject} {value}.",
        "A good place for your {subject} is {value}.",
    ),
    details=(
        "Draw the outline of the {subject} there, so that it always comes back.",
        "The place should be dry, because rust begins with damp air.",
        "Keep it out of the reach of small children.",
    ),
)
_SAFETY = Aspect(
    topic="the danger of a {subject}",
    questions=(
        "How do I use a {subject} safely?",
        "What should I watch out for with a {subject}?",
        "Is a {subject} dangerous, and what helps?",
    ),
    statements=(
        "To be safe with a {subject} you must {value}.",
        "Accidents with a {subject} are rare if you {value}.",
        "The first rule for a {subject} says to {value}.",
    ),
    details=(
        "Most people who got hurt by a {subject} were in a hurry.",
        "Take a break when your arms are tired.",
        "Good light and firm shoes help as well.",
    ),
)
TOOLS = Category(
    aspects=(_USE, _CARE, _KEEP, _SAFETY),
    values={
        "chisel": ("carving wood", "sharpen the edge", "in a canvas roll", "cut away from your body"),
        "hammer": ("driving nails", "wipe the handle dry", "in the tool box", "wear glasses"),
        "hatchet": ("splitting logs", "sharpen the edge", "in a leather cover", "stand with your feet apart"),
        "spade": ("digging holes", "wash off the earth", "on a hook on the wall", "wear heavy boots"),
        "drill": ("making holes in walls", "blow out the dust", "in its plastic case", "wear glasses"),
        "ladder": ("reaching high shelves", "check every step", "flat along the wall", "let somebody hold it"),
        "kitchen knife": ("slicing vegetables", "wash and dry it by hand", "in a wooden block", "curl your fingers in"),
        "lawn mower": ("cutting grass", "clean below the deck", "upright in the shed", "pull the plug before cleaning"),
        "paint brush": ("painting doors", "rinse out the bristles", "hanging with the tip down", "open the windows"),
    },
)
