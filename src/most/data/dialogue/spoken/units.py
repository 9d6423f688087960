"""Units of measure and currencies: how a symbol behind or before a number is said. Two tables and one pattern."""

from __future__ import annotations

import re

UNITS: dict[str, tuple[str, str]] = {
    "km/h": ("kilometer per hour", "kilometers per hour"), "kmh": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"), "mph": ("mile per hour", "miles per hour"),
    "m/s": ("meter per second", "meters per second"), "ft/s": ("foot per second", "feet per second"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "nm": ("nanometer", "nanometers"), "µm": ("micrometer", "micrometers"), "m": ("meter", "meters"),
    "mi": ("mile", "miles"), "ft": ("foot", "feet"), "yd": ("yard", "yards"), "yds": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"), "kgs": ("kilogram", "kilograms"), "kms": ("kilometer", "kilometers"),
    "mg": ("milligram", "milligrams"), "µg": ("microgram", "micrograms"),
    "g": ("gram", "grams"), "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"), "mL": ("milliliter", "milliliters"), "cl": ("centiliter", "centiliters"),
    "l": ("liter", "liters"), "L": ("liter", "liters"), "gal": ("gallon", "gallons"),
    "tbsp": ("tablespoon", "tablespoons"), "tsp": ("teaspoon", "teaspoons"), "ha": ("hectare", "hectares"),
    "sq ft": ("square foot", "square feet"), "ms": ("millisecond", "milliseconds"), "s": ("second", "seconds"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"), "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"),
    "yr": ("year", "years"), "yrs": ("year", "years"), "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"), "V": ("volt", "volts"),
    "mA": ("milliamp", "milliamps"), "W": ("watt", "watts"), "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"), "kWh": ("kilowatt hour", "kilowatt hours"),
    "mAh": ("milliamp hour", "milliamp hours"), "hp": ("horsepower", "horsepower"), "cal": ("calorie", "calories"),
    "kcal": ("kilocalorie", "kilocalories"), "kJ": ("kilojoule", "kilojoules"), "Pa": ("pascal", "pascals"),
    "psi": ("P S I", "P S I"), "dB": ("decibel", "decibels"), "fps": ("frame per second", "frames per second"),
    "rpm": ("revolution per minute", "revolutions per minute"), "bpm": ("beat per minute", "beats per minute"),
    "KB": ("kilobyte", "kilobytes"), "kB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"),
    "Mbps": ("megabit per second", "megabits per second"), "Gbps": ("gigabit per second", "gigabits per second"),
    "px": ("pixel", "pixels"), "MP": ("megapixel", "megapixels"), "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"), "ºC": ("degree Celsius", "degrees Celsius"),
    "ºF": ("degree Fahrenheit", "degrees Fahrenheit"), "°": ("degree", "degrees"), "%": ("percent", "percent"),
    "‰": ("per mille", "per mille"), "¢": ("cent", "cents"), "″": ("inch", "inches"),
}  # fmt: skip
POWERS = {"²": "square", "³": "cubic", "^2": "square", "^3": "cubic"}
SCALE_LETTERS = {"K": "thousand", "k": "thousand", "M": "million", "bn": "billion", "mn": "million"}
"""A letter straight behind a number that is no unit: 10k, 5M."""
PER = {
    "h": "hour", "hr": "hour", "hour": "hour", "day": "day", "week": "week", "wk": "week", "month": "month",
    "mo": "month",
    "year": "year", "yr": "year", "night": "night", "kg": "kilogram", "lb": "pound", "min": "minute", "s": "second",
    "person": "person", "gallon": "gallon", "km": "kilometer", "mile": "mile", "l": "liter", "ml": "milliliter",
}  # fmt: skip
_LONGEST_FIRST = sorted(UNITS, key=len, reverse=True)
UNIT_SYMBOLS = "|".join(re.escape(u) for u in _LONGEST_FIRST)
"""As a regular expression, the longest first."""

CURRENCIES: dict[str, tuple[str, str, str, str]] = {
    "$": ("dollar", "dollars", "cent", "cents"), "US$": ("U S dollar", "U S dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"), "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"), "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"), "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "USD": ("U S dollar", "U S dollars", "cent", "cents"), "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"), "JPY": ("yen", "yen", "sen", "sen"),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
}  # fmt: skip
"""Symbol or code: one, many, one hundredth, many hundredths."""
_SYMBOLS_FIRST = sorted((c for c in CURRENCIES if not c.isalpha()), key=len, reverse=True)
CURRENCY_SYMBOLS = "|".join(re.escape(c) for c in _SYMBOLS_FIRST)
CURRENCY_CODES = "|".join(c for c in CURRENCIES if c.isalpha())


def unit(symbol: str, one: bool, power: str = "") -> str:
    """`("km", False, "²")` -> "square kilometers"."""
    words = UNITS[symbol][0 if one else 1]
    return f"{POWERS[power]} {words}" if power else words
