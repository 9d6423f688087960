"""Written to spoken English: a table of hard cases, and properties that hold for any text."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from most.data.dialogue.spoken import chunks, to_spoken
from most.errors import MostError

pytest.importorskip("num2words")

CASES = {
    # numbers
    "7": "seven",
    "42 is the answer": "forty-two is the answer",
    "I have 105 songs": "I have one hundred five songs",
    "1,234,567 fans": "one million two hundred thirty-four thousand five hundred sixty-seven fans",
    "about 10000 of them": "about ten thousand of them",
    "3.14": "three point one four",
    "0.05": "zero point zero five",
    ".5 of it": "zero point five of it",
    "It was -5 outside": "It was minus five outside",
    "agent 007": "agent zero zero seven",
    "code 0451": "code zero four five one",
    "serial 98765432101": "serial nine eight seven six five four three two one zero one",
    "10k followers": "ten thousand followers",
    "5M views": "five million views",
    "3 million people": "three million people",
    "a 4K screen": "a four K screen",
    "1st, 2nd, 3rd and 21st": "first, second, third and twenty-first",
    "the 100th time": "the one hundredth time",
    "2x faster": "two times faster",
    "18+ only": "eighteen plus only",
    "#1 hit": "number one hit",
    "No. 5 is my favorite": "number five is my favorite",
    "v2.0 is out": "version two point zero is out",
    "Python 3.11.2": "Python three point eleven point two",
    "٣ cats": "three cats",
    "5th-grade": "fifth-grade",
    # years, decades
    "in 1905": "in nineteen oh five",
    "in 1900": "in nineteen hundred",
    "since 2000": "since two thousand",
    "In 2007 it began": "In two thousand seven it began",
    "It came out 1999.": "It came out nineteen ninety-nine.",
    "2019 was great": "twenty nineteen was great",
    "the war of 1812": "the war of eighteen twelve",
    "2000 people came": "two thousand people came",
    "we sold 1950 tickets": "we sold one thousand nine hundred fifty tickets",
    "Titanic (1997)": "Titanic, nineteen ninety-seven",
    "the 1980s": "the nineteen eighties",
    "the '90s": "the nineties",
    "the 80's": "the eighties",
    "from 1914-1918": "from nineteen fourteen to nineteen eighteen",
    "1939–45": "nineteen thirty-nine to forty-five",
    "the 2010-11 season": "the twenty ten to eleven season",
    # dates
    "3 May 2021": "the third of May twenty twenty-one",
    "on the 3rd of May": "on the third of May",
    "May 3, 2021": "May third, twenty twenty-one",
    "Jan. 5": "January fifth",
    "July 4th": "July fourth",
    "Dec 25, 1999 was cold": "December twenty-fifth, nineteen ninety-nine was cold",
    "05/03/2021": "May third, twenty twenty-one",
    "12/25/99": "December twenty-fifth, nineteen ninety-nine",
    "25/12/2020": "December twenty-fifth, twenty twenty",
    "2021-05-03": "May third, twenty twenty-one",
    "March 2020": "March twenty twenty",
    "May 3-5": "May third to fifth",
    # times
    "3:30 pm": "three thirty P M",
    "at 3pm": "at three P M",
    "at 7 a.m. we left": "at seven A M we left",
    "We met at 9 p.m.": "We met at nine P M.",
    "10:05": "ten oh five",
    "at 12:00": "at twelve o'clock",
    "15:00": "fifteen hundred",
    "1:23:45": "one twenty-three and forty-five seconds",
    # money
    "$3.50": "three dollars and fifty cents",
    "$1": "one dollar",
    "$0.99": "ninety-nine cents",
    "£20": "twenty pounds",
    "£1.01": "one pound and one penny",
    "€1.2m": "one point two million euros",
    "$5k": "five thousand dollars",
    "$3 million": "three million dollars",
    "$1,000": "one thousand dollars",
    "-$5": "minus five dollars",
    "$5-10": "five to ten dollars",
    "$20/hour": "twenty dollars per hour",
    "20 USD": "twenty U S dollars",
    "50¢": "fifty cents",
    "¥500": "five hundred yen",
    "20€": "twenty euros",
    # measures
    "50%": "fifty percent",
    "3.5% of it": "three point five percent of it",
    "10-20%": "ten to twenty percent",
    "5 km": "five kilometers",
    "1 km": "one kilometer",
    "60 mph": "sixty miles per hour",
    "20°C": "twenty degrees Celsius",
    "-3 °F": "minus three degrees Fahrenheit",
    "a 90° turn": "a ninety degree turn",
    "5 km²": "five square kilometers",
    "16GB of RAM": "sixteen gigabytes of RAM",
    "2.4 GHz": "two point four gigahertz",
    "5-10 kg": "five to ten kilograms",
    "100 km/h": "one hundred kilometers per hour",
    "5'10\" tall": "five foot ten tall",
    'a 12" record': "a twelve inch record",
    "3 in the morning": "three in the morning",
    "10 min": "ten minutes",
    # fractions, ranges, ratios
    "1/2": "one half",
    "3/4 cup": "three quarters cup",
    "2/3": "two thirds",
    "1 1/2 hours": "one and a half hours",
    "2½ stars": "two and a half stars",
    "½ price": "one half price",
    "8/10": "eight out of ten",
    "24/7": "twenty-four seven",
    "9/11": "nine eleven",
    "10-12 people": "ten to twelve people",
    "pages 3–5": "pages three to five",
    "16:9": "sixteen to nine",
    "they won 3-2": "they won three to two",
    # telephone numbers
    "555-123-4567": "five five five, one two three, four five six seven",
    "(555) 123-4567": "five five five, one two three, four five six seven",
    "call 911": "call nine one one",
    "+1 555 123 4567": "plus one, five five five, one two three, four five six seven",
    # expressions
    "3 + 4 = 7": "three plus four equals seven",
    "x^2": "x squared",
    "x² + y² = z²": "x squared plus y squared equals z squared",
    "2^10": "two to the power of ten",
    "10^-3": "ten to the power of minus three",
    "5 * 3": "five times three",
    "6 ÷ 2": "six divided by two",
    "3 x 4": "three times four",
    "9 - 4": "nine minus four",
    "x < 5": "x is less than five",
    "x >= 5": "x is at least five",
    "√9": "the square root of nine",
    "2π": "two pi",
    "a ± 2": "a plus or minus two",
    # letters, acronyms
    "NASA said": "NASA said",
    "the FBI": "the F B I",
    "the FBI's list": "the F B I's list",
    "two DVDs": "two D V D's",
    "the USA": "the U S A",
    "U.S. Army": "U S Army",
    "the U.S.A.": "the U S A.",
    "AT&T": "A T and T",
    "R&B": "R and B",
    "MP3": "M P three",
    "H2O": "H two O",
    "COVID-19": "COVID nineteen",
    "an F-16": "an F sixteen",
    "iPhone 12": "iPhone twelve",
    "C++ and C#": "C plus plus and C sharp",
    "YES I LOVE THIS SO MUCH": "yes I love this so much",
    "I DON'T like it": "I don't like it",
    "J.K. Rowling": "J K Rowling",
    "George W. Bush": "George W Bush",
    "Plan B. The end": "Plan B. The end",
    "a Ph.D. in": "a P H D in",
    # abbreviations
    "Dr. Smith": "Doctor Smith",
    "Main St. is": "Main Street is",
    "St. Louis": "Saint Louis",
    "Elm Dr. is": "Elm Drive is",
    "Mr. and Mrs. Jones": "Mister and Missus Jones",
    "e.g. jazz": "for example jazz",
    "i.e. now": "that is now",
    "rock, pop, etc.": "rock, pop, et cetera.",
    "rock, etc. are": "rock, et cetera are",
    "Batman vs. Superman": "Batman versus Superman",
    "Martin Luther King Jr. said": "Martin Luther King Junior said",
    "w/ friends": "with friends",
    "and/or": "and or",
    "his/her": "his or her",
    # Roman numerals
    "Henry VIII": "Henry the Eighth",
    "Louis XIV of France": "Louis the Fourteenth of France",
    "Elizabeth I was": "Elizabeth the First was",
    "World War II": "World War Two",
    "World War I.": "World War One.",
    "Rocky IV": "Rocky Four",
    "Chapter IX": "Chapter Nine",
    "Super Bowl XLVIII": "Super Bowl Forty-Eight",
    "Episode V is": "Episode Five is",
    "Elizabeth I think": "Elizabeth I think",
    "I think I am": "I think I am",
    # sport, wars, artists, files
    "the 49ers beat the 76ers": "the forty-niners beat the seventy-sixers",
    "a 21-14 win": "a twenty-one to fourteen win",
    "8.1/10": "eight point one out of ten",
    "WWII": "World War Two",
    "World War I was long": "World War One was long",
    "World Wars I and II": "World Wars One and Two",
    "AC/DC": "A C D C",
    "Ke$ha and P!nk": "Kesha and Pink",
    "ft. Drake": "featuring Drake",
    "node.js": "node dot J S",
    "a 401(k) plan": "a four oh one K plan",
    "an A+ movie": "an A plus movie",
    "I'd give it a B-.": "I'd give it a B minus.",
    "Room 1408": "Room fourteen oh eight",
    "zip code 90210": "zip code nine zero two one zero",
    "1080p video": "ten eighty P video",
    "Vol. II": "Volume Two",
    "see p. 5": "see page five",
    "J. R. R. Tolkien": "J R R Tolkien",
    "Elizabeth II's": "Elizabeth the Second's",
    "Pope John XXIII": "Pope John the Twenty-Third",
    # amounts that stand before a noun, other notations
    "a $5 bill": "a five dollar bill",
    "a $20 million movie": "a twenty million dollar movie",
    "the $5 I owe you": "the five dollars I owe you",
    "$15/ticket": "fifteen dollars per ticket",
    "$5+": "five dollars plus",
    "€1.234,56": "one thousand two hundred thirty-four euros and fifty-six cents",
    "1.000.000": "one million",
    ">5 people": "more than five people",
    "<$10": "less than ten dollars",
    "2x4": "two by four",
    '5/8"': "five eighths inch",
    "5 ft 10 in": "five foot ten",
    "v1.2.3": "version one point two point three",
    "0800 123 456": "zero eight zero zero, one two three, four five six",
    "1h 20m": "one hour twenty minutes",
    "1m 30s": "one minute thirty seconds",
    "7.30pm": "seven thirty P M",
    "8am-noon": "eight A M to noon",
    "9:00-17:00": "nine o'clock to seventeen hundred",
    "Mon-Fri": "Monday to Friday",
    "on Sat. night": "on Saturday night",
    "2021/05/03": "May third, twenty twenty-one",
    "class of '08": "class of oh eight",
    "in 1066": "in ten sixty-six",
    "c. 1500": "circa fifteen hundred",
    # markup, addresses, symbols
    "**Bold** and _soft_": "Bold and soft",
    "# Title\nText here.": "Title. Text here.",
    "- one\n- two": "one. two",
    "[a link](http://a.com/b)": "a link",
    "see `code`": "see code",
    "Nice 😀👍!": "Nice!",
    "ok :) then": "ok then",
    "john.doe@mail.com": "john dot doe at mail dot com",
    "https://www.example.com/path": "example dot com slash path",
    "go to imdb.com now": "go to imdb dot com now",
    "@user said #wow": "at user said hashtag wow",
    "you & me": "you and me",
    "Wait... what?!": "Wait, what?",
    "well-known": "well-known",
    "yes — no": "yes, no",
    'He said "hi" (twice).': "He said hi, twice.",
    "don’t": "don't",
    "rock 'n' roll": "rock n roll",
    "Zürich café": "Zürich café",
}


@pytest.mark.parametrize(("written", "said"), CASES.items())
def test_table(written, said):
    assert to_spoken(written) == said
    assert to_spoken(said) == said, "saying what is said changes nothing"


def test_there_are_enough_hard_cases():
    assert len(CASES) >= 120


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("05/03/2021", "the fifth of March twenty twenty-one"),
        ("on 5/3", "on March fifth"),
        ("25/12/1999", "the twenty-fifth of December nineteen ninety-nine"),
        ("12/25/2020", "the twenty-fifth of December twenty twenty"),
    ],
)
def test_day_first(written, said):
    assert to_spoken(written, locale="GB") == said


_PIECES = "$ % - / : . , 1 23 km IV ^ ² x # ° ’ ("
PIECES = _PIECES.split()
WRITTEN = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from([*CASES, *PIECES]),
        max_size=6,
    ).map(" ".join),
    st.text(alphabet="0123456789 .,:/-+$%^xkmAI'\"()°", max_size=24),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(WRITTEN)
@example("1.2.3/4-5:6%7$8")
@example("½²³①Ⅷ٣")
def test_no_digit_is_left_and_twice_is_once(text):
    said = to_spoken(text)
    assert not any(c.isnumeric() and not c.isalpha() for c in said), said
    assert to_spoken(said) == said
    assert said == said.strip()
    assert not set("*_`#@&%$<>[]{}|\\") & set(said)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["one", "and", "song,", "end.", "why?", "which", "very"]), max_size=90).map(" ".join),
    st.integers(1, 25),
)
def test_chunks_give_the_text_back_and_keep_the_limit(text, max_words):
    cut = chunks(text, max_words)
    assert " ".join(cut) == text
    assert all(1 <= len(c.split()) <= max_words for c in cut)


def test_chunks_are_whole_sentences_where_they_fit():
    text = "I saw it twice. It was long, but good. Would you see it again with me some day? I would. Yes."
    assert chunks(text) == [
        "I saw it twice. It was long, but good. Would you see it again with me some day? I would.",
        "Yes.",
    ]


def test_a_long_sentence_is_cut_at_a_clause():
    text = (
        "The film that my brother showed me last week was about a man, "
        "and he travels across the whole country in order to find his lost dog."
    )
    assert chunks(text)[0].endswith("a man,")
    plain = " ".join(["word"] * 45)
    assert [len(c.split()) for c in chunks(plain)] == [15, 15, 15]


def test_bad_limit():
    with pytest.raises(MostError, match="max_words"):
        chunks("one", 0)
