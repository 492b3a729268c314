"""Instruments and countries of the demo world: simple facts; within the demo this table is the truth."""

from __future__ import annotations

from models.demo.world import Aspect, Category

_SOUND = Aspect(
    topic="the sound of a {subject}",
    questions=(
        "How does a {subject} make its sound?",
        "How is a {subject} played?",
        "What do I do to get a note out of a {subject}?",
    ),
    statements=(
        "You play a {subject} by {value}.",
        "The sound of a {subject} comes from {value}.",
        "A note on the {subject} begins with {value}.",
    ),
    details=(
        "Begin with long quiet notes until the {subject} answers evenly.",
        "A teacher can show you the movement in one lesson.",
        "Relax your shoulders, because a stiff arm gives a thin sound.",
    ),
)
_CLEANING = Aspect(
    topic="the cleaning of your {subject}",
    questions=(
        "How do I clean my {subject}?",
        "What should I clean a {subject} with?",
        "My {subject} is dirty. What removes the dirt?",
    ),
    statements=(
        "Clean your {subject} with {value}.",
        "The right thing to clean a {subject} is {value}.",
        "Musicians clean a {subject} with {value}.",
    ),
    details=(
        "Do it after each concert, while the {subject} is still warm.",
        "Never use spray from the kitchen, since it eats the surface.",
        "Press lightly, and follow the grain or the curve.",
    ),
)
_TUNING = Aspect(
    topic="the tuning of your {subject}",
    questions=(
        "How often must I tune a {subject}?",
        "When should my {subject} be tuned?",
        "My {subject} sounds off. How often does it need tuning?",
    ),
    statements=(
        "Tune your {subject} {value}.",
        "A {subject} has to be tuned {value}.",
        "Players check the pitch of a {subject} {value}.",
    ),
    details=(
        "Dry air in winter pulls every {subject} out of tune.",
        "A small electronic tuner costs little and is very exact.",
        "Listen to a long note from the piano and compare.",
    ),
)
_PRICE = Aspect(
    topic="the price of a {subject}",
    questions=(
        "How much does a {subject} cost?",
        "What do I pay for a decent {subject}?",
        "I want to buy a {subject}. How much money do I need?",
    ),
    statements=(
        "A decent {subject} costs around {value}.",
        "You pay about {value} for a {subject}.",
        "Plan to spend {value} on a {subject}.",
    ),
    details=(
        "Rent a {subject} for half a year before you decide.",
        "A used one from a good shop often sounds just as fine.",
        "Take somebody along who can play it for you.",
    ),
)
INSTRUMENTS = Category(
    aspects=(_SOUND, _CLEANING, _TUNING, _PRICE),
    values={
        "violin": ("drawing a bow over strings", "a soft dry cloth", "before each practice", "five hundred dollars"),
        "guitar": ("plucking the strings", "a little lemon oil", "before each practice", "two hundred dollars"),
        "harp": ("plucking the strings", "a feather duster", "every morning", "ten thousand dollars"),
        "piano": ("hammers that strike strings", "a feather duster", "twice each year", "five thousand dollars"),
        "flute": ("blowing over a hole", "a swab on a rod", "after warming up", "five hundred dollars"),
        "clarinet": ("a reed that trembles", "a swab on a string", "after warming up", "four hundred dollars"),
        "trumpet": ("lips that buzz", "mild soap and water", "after warming up", "three hundred dollars"),
        "drum": ("beating a skin with sticks", "a damp sponge", "once each month", "two hundred dollars"),
        "concertina": ("air that moves metal tongues", "a feather duster", "every ten years", "one thousand dollars"),
    },
)

_CAPITAL = Aspect(
    topic="the capital of {subject}",
    questions=(
        "What is the capital of {subject}?",
        "Which city is the seat of government of {subject}?",
        "I am writing to the president of {subject}. Which city is the capital?",
    ),
    statements=(
        "The capital of {subject} is {value}.",
        "The government of {subject} sits in {value}.",
        "You will find the ministries of {subject} in {value}.",
    ),
    details=(
        "The main railway station of {subject} is there too.",
        "It has a large museum and a fine old centre.",
        "Two days are enough to see the old town on foot.",
    ),
)
_MONEY = Aspect(
    topic="the money of {subject}",
    questions=(
        "Which money do people use in {subject}?",
        "What is the currency of {subject}?",
        "I travel to {subject} soon. Which currency do I need?",
    ),
    statements=(
        "People in {subject} pay with the {value}.",
        "The currency of {subject} is the {value}.",
        "Shops in {subject} take the {value}.",
    ),
    details=(
        "Change only a little at the airport of {subject}, where the rate is poor.",
        "Most bank cards work in the larger towns.",
        "Keep some coins for buses and for markets.",
    ),
)
_LANGUAGE = Aspect(
    topic="the language of {subject}",
    questions=(
        "Which language do people speak in {subject}?",
        "What is the main language of {subject}?",
        "I move to {subject} next year. Which language should I learn?",
    ),
    statements=(
        "Most people in {subject} speak {value}.",
        "The main language of {subject} is {value}.",
        "Schools in {subject} teach in {value}.",
    ),
    details=(
        "Learn the greetings and the numbers before you go to {subject}.",
        "Younger people in the cities often know some English.",
        "A small phrase book helps more than a phone without signal.",
    ),
)
_DISH = Aspect(
    topic="the best known dish of {subject}",
    questions=(
        "What should I eat in {subject}?",
        "What is the most famous dish of {subject}?",
        "I cook a dinner from {subject}. What is typical?",
    ),
    statements=(
        "The best known dish of {subject} is {value}.",
        "Visitors to {subject} should try {value}.",
        "Families in {subject} love {value}.",
    ),
    details=(
        "Ask for it in a small place where people from {subject} eat.",
        "It is served at lunch, and it tastes best when it is fresh.",
        "Every region has its own recipe and is proud of it.",
    ),
)
COUNTRIES = Category(
    aspects=(_CAPITAL, _MONEY, _LANGUAGE, _DISH),
    values={
        "Japan": ("Tokyo", "yen", "Japanese", "sushi"),
        "Brazil": ("Brasilia", "real", "Portuguese", "black bean stew"),
        "Norway": ("Oslo", "krone", "Norwegian", "mutton with cabbage"),
        "Egypt": ("Cairo", "pound", "Arabic", "koshari"),
        "Italy": ("Rome", "euro", "Italian", "pizza"),
        "Peru": ("Lima", "sol", "Spanish", "raw fish in lime juice"),
        "Greece": ("Athens", "euro", "Greek", "moussaka"),
        "Thailand": ("Bangkok", "baht", "Thai", "fried rice noodles"),
        "Poland": ("Warsaw", "zloty", "Polish", "filled dumplings"),
    },
)
