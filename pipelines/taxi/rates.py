"""Rates, weights and curves of the synthetic trips, and the TLC files they come from."""

from dataclasses import dataclass

from pipelines.taxi.schema import Colour


@dataclass(frozen=True)
class Rates:
    """Frequencies of events, as shares of all rows unless stated otherwise."""

    vendors: dict[int, float]
    app: float
    """Rows of vendors 1 and 2 with a trip booked by app: no passengers, rate code, flag, congestion
    or airport fee; payment type 0 in yellow files, null in green ones. So are all of vendor 6."""
    app_negative_fare: float
    """Of the app's rows of vendor 2: a fare below zero under a total above."""
    app_tip: float
    """Of the app's rows: with a tip."""
    refund: float
    """A charge taken back: the row before again, all amounts negative."""
    refund_no_charge: float
    """Of refunds: payment type 3 (no charge); the rest is 4 (dispute)."""
    refund_seen: float
    """Of charges that were taken back: the charge too has payment type 3 or 4."""
    cash: float
    """Of metered rows, as are the next five."""
    no_charge: float
    dispute: float
    negotiated: float
    flagged: float
    no_passenger: float
    """Of metered rows of vendor 1: passenger_count 0. Other vendors' meters do not allow it."""
    unknown_rate: float
    """Of metered rows of vendor 1: rate code 99."""
    no_distance: float
    absurd_distance: float
    backwards: float
    """Drop-off before the pick-up."""
    left_running: float
    """A meter left on for most of a day."""
    outside_month: float
    wrong_total: float
    """Of metered rows: a total that is not the sum of its parts."""
    pickup_unknown: float
    dropoff_unknown: float


# Counted in a 5,000-row sample of yellow_tripdata_2025-02, but for three, of which the sample shows
# none: backwards is green's, counted in green_tripdata_2025-11; left_running and outside_month are
# assumed, at one in as many rows.
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

# Counted in green_tripdata_2025-11, 46,912 rows.
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

# Pick-ups a zone, relative, rounded from the same files; other zones get their borough's weight.
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
    # Green cabs may pick up nobody at the airports and in Manhattan below about 96th Street.
    Colour.GREEN: {
        "Manhattan": 0,
        "Queens": 4,
        "Brooklyn": 4,
        "Bronx": 2,
        "Staten Island": 0.2,
        "EWR": 0,
    },
}
# How much more a borough is a trip's end than its start, and over which distance (miles) trips
# become rare.
DROPOFFS = {
    Colour.YELLOW: {"Manhattan": 1, "Queens": 2, "Brooklyn": 6, "Bronx": 4, "Staten Island": 1},
    Colour.GREEN: {"Manhattan": 1, "Queens": 1.5, "Brooklyn": 1.5, "Bronx": 4, "Staten Island": 1},
}
AIRPORTS = {Colour.YELLOW: 0.14, Colour.GREEN: 0.14}
NEWARK = {Colour.YELLOW: 14, Colour.GREEN: 4}
REACH = {Colour.YELLOW: 1.8, Colour.GREEN: 1.9}
SAME_ZONE = {Colour.YELLOW: 0.8, Colour.GREEN: 0.35}  # people walk there

# Trips an hour of the day, relative, from midnight; and miles an hour on the road. From the same
# files.
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

# Up to which draw a trip has so many passengers; the rest has six.
PASSENGERS = {1: 0.80, 2: 0.935, 3: 0.967, 4: 0.984, 5: 0.994}
