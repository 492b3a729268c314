"""Plants and animals of the demo world: rules of thumb, rounded; within the demo this table is the truth."""

from __future__ import annotations

from models.demo.world import Aspect, Category

_WATER = Aspect(
    topic="the watering of your {subject}",
    questions=(
        "How often should I water my {subject}?",
        "When does a {subject} need water?",
        "My {subject} looks thirsty. How often does it want water?",
    ),
    statements=(
        "You should water your {subject} {value}.",
        "Watering {value} is right for a {subject}.",
        "A healthy {subject} wants water {value}.",
    ),
    details=(
        "Push a finger into the pot first, and wait if the {subject} still stands in wet earth.",
        "Let the water run out below, because roots that stand in water begin to rot.",
        "Use water that is not too cold, and give it in the morning.",
    ),
)
_LIGHT = Aspect(
    topic="the light for your {subject}",
    questions=(
        "Where should I put my {subject}?",
        "How much light does a {subject} like?",
        "Which spot in the house suits a {subject}?",
    ),
    statements=(
        "The best place for your {subject} is {value}.",
        "Put your {subject} {value} and leave it there.",
        "Most gardeners keep a {subject} {value}.",
    ),
    details=(
        "Turn the pot a little every week so that the {subject} grows straight.",
        "Pale leaves show that the place is wrong, so watch them for a month.",
        "Keep it away from the heater and from cold wind at the door.",
    ),
)
_SOIL = Aspect(
    topic="the soil for your {subject}",
    questions=(
        "Which soil is good for a {subject}?",
        "What should I plant my {subject} in?",
        "I want to repot my {subject}. What goes into the new pot?",
    ),
    statements=(
        "Plant your {subject} in {value}.",
        "The roots of a {subject} grow well in {value}.",
        "Fill the pot of your {subject} with {value}.",
    ),
    details=(
        "Take a pot that is two fingers wider than the old one.",
        "Put some small stones at the bottom so that the {subject} never gets wet feet.",
        "Spring is the time to do it, since the roots then recover quickly.",
    ),
)
_FEED = Aspect(
    topic="the feeding of your {subject}",
    questions=(
        "How often do I fertilise a {subject}?",
        "Does my {subject} need plant food, and how often?",
        "When should I give plant food to a {subject}?",
    ),
    statements=(
        "Give your {subject} some plant food {value}.",
        "A {subject} is best fertilised {value}.",
        "Plant food {value} is all that a {subject} asks for.",
    ),
    details=(
        "Half of the dose on the label is enough for a {subject} in a pot.",
        "Stop in winter, when the plant rests and takes up almost nothing.",
        "Water first and feed afterwards, so that the roots do not burn.",
    ),
)
PLANTS = Category(
    aspects=(_WATER, _LIGHT, _SOIL, _FEED),
    values={
        "fern": ("every second day", "in half shade", "moist peat", "once a month"),
        "cactus": ("once a month", "in full sun", "sandy soil", "twice a year"),
        "moth orchid": ("once a week", "in soft indirect light", "loose bark", "every two weeks"),
        "basil plant": ("every day", "in full sun", "rich garden soil", "every two weeks"),
        "tomato plant": ("every day", "in full sun", "rich garden soil", "every week"),
        "rose bush": ("twice a week", "in full sun", "heavy clay soil", "twice a year"),
        "peace lily": ("twice a week", "in deep shade", "moist peat", "once a month"),
        "lemon tree": ("twice a week", "in full sun", "ordinary potting soil", "every week"),
        "bonsai": ("every day", "in soft indirect light", "gravel and clay", "every two weeks"),
    },
)

_FOOD = Aspect(
    topic="the food of your {subject}",
    questions=(
        "What does a {subject} eat?",
        "What should I feed my {subject}?",
        "Which food keeps a {subject} healthy?",
    ),
    statements=(
        "Your {subject} should eat mainly {value}.",
        "The right daily food for a {subject} is {value}.",
        "Fill the bowl of your {subject} with {value}.",
    ),
    details=(
        "Take away what is left after an hour, because old food makes a {subject} ill.",
        "Fresh water must always stand beside it.",
        "Change the food slowly, over a week, so that the stomach can follow.",
    ),
)
_HOME = Aspect(
    topic="the home of your {subject}",
    questions=(
        "Where should a {subject} live?",
        "What kind of home does my {subject} need?",
        "I am getting a {subject}. Where do I keep it?",
    ),
    statements=(
        "Keep your {subject} in {value}.",
        "A {subject} feels at home in {value}.",
        "You need {value} for a {subject}.",
    ),
    details=(
        "Clean it every weekend, and leave one corner as it is so that the {subject} knows the smell.",
        "Choose a quiet room without draught and without loud music.",
        "Add a place to hide, since every animal wants to be alone at times.",
    ),
)
_LIFESPAN = Aspect(
    topic="the life span of your {subject}",
    questions=(
        "How long does a {subject} live?",
        "How old can my {subject} get?",
        "What age does a {subject} usually reach?",
    ),
    statements=(
        "A {subject} lives for about {value}.",
        "You can expect {value} with your {subject}.",
        "With good care a {subject} reaches an age of {value}.",
    ),
    details=(
        "A yearly visit to the vet helps your {subject} to reach that age.",
        "Ask the breeder how old the parents became.",
        "Too much fat food takes away a good part of it.",
    ),
)
_SLEEP = Aspect(
    topic="the sleep of your {subject}",
    questions=(
        "When does a {subject} sleep?",
        "At what time is my {subject} asleep?",
        "When should I leave a {subject} alone to sleep?",
    ),
    statements=(
        "Your {subject} sleeps {value}.",
        "The usual time of sleep for a {subject} is {value}.",
        "Do not wake a {subject} {value}.",
    ),
    details=(
        "Play with your {subject} in the hours before, so that it is tired.",
        "Dim the lamp and cover the window while it rests.",
        "An animal that is woken too often becomes shy and may bite.",
    ),
)
ANIMALS = Category(
    aspects=(_FOOD, _HOME, _LIFESPAN, _SLEEP),
    values={
        "hamster": ("seeds and grain", "a roomy cage with a wheel", "two years", "all day long"),
        "cat": ("meat and fish", "the whole house", "fifteen years", "in many short naps"),
        "dog": ("meat and fish", "the whole house", "twelve years", "during the night"),
        "goldfish": ("small flakes", "a cool glass tank", "ten years", "during the night"),
        "budgie": ("seeds and grain", "a wide bird cage", "eight years", "during the night"),
        "rabbit": ("fresh hay", "a large garden hutch", "eight years", "around noon and midnight"),
        "tortoise": ("leafy greens", "a sunny fenced garden", "eighty years", "during the night and all winter"),
        "gecko": ("live crickets", "a warm dry terrarium", "fifteen years", "all day long"),
        "hen": ("seeds and grain", "a dry coop with a perch", "eight years", "during the night"),
    },
)
