"""Rates, weights and curves of the synthetic trips, and the TLC files they come from."""

from dataclasses import dataclass

from pipelines.taxi.schema import Colour


@dataclass(frozen=True)
class Rates:
    """Frequencies of events, as shares of all rows unless stated otherwise."""

    vendors: dict[int, float]
    app: float
    """Share of the rows of vendors 1 and 2 whose trip was booked by app. Passengers, rate code,
    flag, congestion fee and airport fee are null; the payment type is 0 in yellow files, null in
    green files. Every row of vendor 6 is an app row."""
    app_negative_fare: float
    """Share of vendor 2's app rows with a fare below zero but a total above zero."""
    app_tip: float
    """Share of app rows with a tip."""
    refund: float
    """Share of refunds: a refund repeats the row before it, with all amounts negative."""
    refund_no_charge: float
    """Share of refunds with payment type 3 (no charge); the others have 4 (dispute)."""
    refund_seen: float
    """Share of refunded charges whose own row also has payment type 3 or 4."""
    cash: float
    """Share of metered rows; so are the next four fields."""
    no_charge: float
    dispute: float
    negotiated: float
    flagged: float
    no_passenger: float
    """Share of vendor 1's metered rows with passenger_count 0; other meters do not allow it."""
    unknown_rate: float
    """Share of vendor 1's metered rows with rate code 99."""
    no_distance: float
    absurd_distance: float
    backwards: float
    """The drop-off is before the pick-up."""
    left_running: float
    """The meter runs for most of a day."""
    outside_month: float
    wrong_total: float
    """Share of metered rows whose total is not the sum of its parts."""
    pickup_unknown: float
    dropoff_unknown: float


# The rates are counted in a 5,000-row sample of yellow_tripdata_2025-02. Three events do not occur
# in it: backwards has the rate of green_tripdata_2025-11 (46,912 rows); left_running and
# outside_month are assumed to occur once in as many rows.
YELLOW_RATES = Rates(
    vendors={1: 1020 / 5000, 2: 3973 / 5000, 7: 7 / 5000},
    app=1125 / 4993,
    app_negative_fare=181 / 985,
    app_tip=85 / 944,
    refund=91 / 5000,
    refund_no_charge=8 / 91,
    refund_seen=49 / 91,
    cash=462 / 3875,
    no_charge=10 / 3875,
    dispute=8 / 3875,
    negotiated=30 / 3875,
    flagged=39 / 3875,
    no_passenger=24 / 880,
    unknown_rate=58 / 880,
    no_distance=138 / 5000,
    absurd_distance=1 / 5000,
    backwards=3 / 46912,
    left_running=1 / 46912,
    outside_month=1 / 46912,
    wrong_total=1 / 2989,
    pickup_unknown=7 / 5000,
    dropoff_unknown=26 / 5000,
)

# The rates are counted in green_tripdata_2025-11, 46,912 rows.
GREEN_RATES = Rates(
    vendors={1: 4348 / 46912, 2: 38655 / 46912, 6: 3909 / 46912},
    app=1660 / 43003,
    app_negative_fare=0,
    app_tip=1088 / 1660,
    refund=142 / 46912,
    refund_no_charge=101 / 142,
    refund_seen=1,
    cash=9341 / 41343,
    no_charge=84 / 41343,
    dispute=14 / 41343,
    negotiated=2432 / 41343,
    flagged=126 / 41343,
    no_passenger=590 / 4277,
    unknown_rate=1 / 4277,
    no_distance=1494 / 46912,
    absurd_distance=21 / 46912,
    backwards=3 / 46912,
    left_running=156 / 46912,
    outside_month=21 / 46912,
    wrong_total=18 / 36965,
    pickup_unknown=116 / 46912,
    dropoff_unknown=639 / 46912,
)

RATES = {Colour.YELLOW: YELLOW_RATES, Colour.GREEN: GREEN_RATES}

# Relative number of pick-ups per zone, rounded, from the same files; other zones have the weight of
# their borough.
PICKUPS = {
    Colour.YELLOW: {
        236: 250,
        237: 226,
        161: 223,
        132: 177,
        186: 158,
        234: 150,
        230: 147,
        162: 144,
        68: 139,
        249: 138,
        79: 137,
        239: 137,
        163: 137,
        138: 134,
        142: 128,
        170: 122,
        48: 119,
        164: 111,
        141: 110,
        107: 109,
        263: 95,
        140: 92,
        246: 90,
        90: 88,
        238: 87,
        229: 80,
        113: 78,
        100: 74,
        114: 74,
        144: 67,
        231: 62,
        143: 62,
        262: 60,
        43: 59,
        137: 58,
        233: 55,
        211: 51,
        148: 50,
        158: 49,
        151: 32,
        125: 31,
        50: 30,
        166: 28,
        13: 25,
        41: 24,
        261: 23,
    },
    Colour.GREEN: {
        74: 1205,
        75: 584,
        166: 218,
        95: 212,
        43: 194,
        41: 180,
        97: 178,
        82: 176,
        65: 138,
        130: 138,
        244: 97,
        42: 86,
        66: 75,
        129: 68,
        7: 58,
        134: 50,
        260: 47,
        92: 42,
        83: 40,
        33: 38,
        236: 37,
        116: 35,
        181: 33,
        24: 33,
        223: 28,
        25: 28,
        157: 27,
        195: 23,
        255: 23,
        193: 19,
        152: 16,
        61: 16,
        179: 15,
    },
}
PICKUPS_ELSEWHERE = {
    Colour.YELLOW: {
        "Manhattan": 9,
        "Queens": 1.1,
        "Brooklyn": 2.1,
        "Bronx": 0.9,
        "Staten Island": 0.05,
        "EWR": 0,
    },
    # Green cabs must not pick up passengers at the airports or below about Manhattan's 96th Street.
    Colour.GREEN: {
        "Manhattan": 0,
        "Queens": 4,
        "Brooklyn": 4,
        "Bronx": 2,
        "Staten Island": 0.2,
        "EWR": 0,
    },
}
# DROPOFFS: factor for a borough's weight as the end of trips. REACH: the distance in miles over
# which the number of trips falls to 1/e.
DROPOFFS = {
    Colour.YELLOW: {"Manhattan": 1, "Queens": 2, "Brooklyn": 6, "Bronx": 4, "Staten Island": 1},
    Colour.GREEN: {"Manhattan": 1, "Queens": 1.5, "Brooklyn": 1.5, "Bronx": 4, "Staten Island": 1},
}
AIRPORTS = {Colour.YELLOW: 0.14, Colour.GREEN: 0.14}
NEWARK = {Colour.YELLOW: 14, Colour.GREEN: 4}
REACH = {Colour.YELLOW: 1.8, Colour.GREEN: 1.9}
SAME_ZONE = {Colour.YELLOW: 0.8, Colour.GREEN: 0.35}  # within a zone, people walk

# Relative number of trips per hour of the day, from midnight, and road speed in miles per hour,
# from the same files.
WEEKDAY = (
    45,
    25,
    15,
    10,
    12,
    22,
    80,
    150,
    200,
    215,
    220,
    222,
    230,
    255,
    265,
    280,
    295,
    350,
    400,
    330,
    320,
    300,
    260,
    160,
)
WEEKEND = (
    290,
    230,
    180,
    140,
    60,
    25,
    40,
    70,
    120,
    180,
    230,
    245,
    255,
    270,
    275,
    280,
    290,
    310,
    340,
    300,
    290,
    300,
    330,
    320,
)
DAYS = {
    Colour.YELLOW: (0.80, 0.93, 1.02, 1.06, 1.14, 1.12, 0.98),
    Colour.GREEN: (1.0, 1.0, 1.02, 1.0, 1.0, 0.92, 0.86),
}
SPEED = (
    12.6,
    12.6,
    13.4,
    14.2,
    16.0,
    16.2,
    14.0,
    10.4,
    9.3,
    9.3,
    9.8,
    9.5,
    9.3,
    9.2,
    9.0,
    8.6,
    8.8,
    9.0,
    9.1,
    9.7,
    10.4,
    11.1,
    11.4,
    11.7,
)

# Cumulative share of trips by number of passengers; the remaining trips have six.
PASSENGERS = {1: 0.80, 2: 0.935, 3: 0.967, 4: 0.984, 5: 0.994}
