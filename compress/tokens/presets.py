"""Schedules that DiffRate learned (arXiv 2305.17997): the tokens that each block keeps, class token included.

The paper prunes some tokens and merges others; here are the counts that are left after both, and they are reached by
whatever takes tokens away. The last block keeps few, because only the class token is read behind it.
"""

from collections.abc import Mapping

PRESETS: Mapping[str, tuple[int, ...]] = {
    "deit-t-1.0G": (197, 197, 196, 190, 186, 154, 148, 148, 145, 135, 125, 21),
    "deit-t-0.9G": (197, 196, 194, 188, 172, 147, 129, 115, 107, 103, 96, 3),
    "deit-t-0.8G": (197, 196, 190, 172, 154, 125, 107, 96, 84, 78, 70, 3),
    "deit-t-0.7G": (197, 196, 192, 158, 133, 103, 88, 72, 64, 58, 49, 3),
    "deit-t-0.6G": (197, 187, 167, 139, 114, 90, 76, 66, 57, 45, 37, 3),
    "deit-s-3.1G": (197, 196, 186, 164, 150, 141, 133, 121, 103, 78, 68, 3),
    "deit-s-2.9G": (197, 194, 176, 156, 141, 133, 121, 107, 88, 64, 56, 3),
    "deit-s-2.7G": (197, 188, 170, 147, 131, 119, 109, 96, 76, 54, 45, 3),
    "deit-s-2.5G": (197, 186, 160, 133, 119, 107, 96, 82, 66, 43, 37, 3),
    "deit-s-2.3G": (197, 180, 156, 127, 109, 98, 80, 66, 52, 37, 31, 3),
    "deit-b-12.5G": (197, 196, 194, 190, 176, 160, 145, 131, 115, 68, 47, 3),
    "deit-b-11.5G": (197, 197, 192, 178, 158, 145, 127, 111, 94, 50, 35, 3),
    "deit-b-10.4G": (197, 190, 184, 164, 145, 131, 107, 94, 74, 31, 21, 3),
    "deit-b-10.0G": (197, 186, 174, 156, 137, 117, 105, 90, 66, 31, 19, 3),
    "deit-b-8.7G": (197, 178, 162, 141, 115, 96, 78, 60, 47, 21, 13, 3),
}
"""By the model that they were learned on and what it costs then."""
