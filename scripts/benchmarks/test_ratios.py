"""The statistics of `--against`."""

import math
import unittest

from ratios import judge, median_interval


class Ratios(unittest.TestCase):
    def test_interval_of_the_median_is_that_of_the_sign_test(self):
        for number, low, high, reason in [
            (1, 0.0, math.inf, "one ratio bounds nothing"),
            (5, 0.0, math.inf, "2 / 2^5 is more than 5 %"),
            (6, 1, 6, "2 / 2^6 is less"),
            (8, 1, 8, "18 / 2^8 is more than 5 %: the second rank is not reached"),
            (9, 2, 8, "20 / 2^9 is less"),
            (20, 6, 15, "tables of the sign test for n = 20"),
            (50, 18, 33, "tables of the sign test for n = 50"),
            (100, 40, 61, "tables of the sign test for n = 100"),
        ]:
            with self.subTest(reason):
                self.assertEqual(median_interval(list(range(number, 0, -1))), (low, high))

    def test_verdict_needs_the_median_and_the_interval(self):
        for ratios, verdict, reason in [
            ([1.0] * 20, "ok", "equal programs"),
            ([0.5] * 20, "ok", "faster"),
            ([1.02] * 20, "ok", "the median may be at its limit"),
            ([1.03] * 20, "slower", "the whole interval is above the limit of the median"),
            ([1.0] * 15 + [1.06] * 5, "ok", "the end of the interval is the 15th of 20: outliers do not move it"),
            ([1.0] * 11 + [1.06] * 9, "undecided", "the median is good and the interval is too wide"),
            ([1.0] * 9 + [1.03] * 11, "undecided", "the median is bad and the interval reaches below its limit"),
            ([1.0] * 5, "undecided", "too few rounds for an interval"),
        ]:
            with self.subTest(reason):
                self.assertEqual(judge(ratios).verdict, verdict)


if __name__ == "__main__":
    unittest.main()
