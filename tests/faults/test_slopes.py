# SPDX-License-Identifier: MIT
import random
import unittest

import slopes


def samples(value, seconds=600):
    return [(t, value(t)) for t in range(seconds)]


class Growth(unittest.TestCase):
    def test_cases(self):
        source = random.Random(5)
        cases = (("constant", lambda t: 5000, 0, True),
                 ("noise", lambda t: 5000 + source.uniform(-300, 300), 0, True),
                 ("grows", lambda t: 5000 + t, 510, False),
                 ("grows in noise", lambda t: 5000 + t + source.uniform(-200, 200), 510, False),
                 ("falls", lambda t: 5000 - t, -510, True),
                 ("only at the beginning", lambda t: 5000 + min(t, 60) * 100, 0, True),
                 ("one high moment", lambda t: 9000 if 300 < t < 320 else 5000, 0, True),
                 ("steps that stay", lambda t: 5000 + t // 60 * 100, 850, False))
        for name, value, grown, flat in cases:
            with self.subTest(name):
                found = slopes.growth(samples(value))
                self.assertAlmostEqual(found["grown"], grown, delta=150)
                self.assertLessEqual(found["low"], found["grown"])
                self.assertLessEqual(found["grown"], found["high"])
                self.assertEqual(slopes.is_flat(found, 256), flat, found)

    def test_lowest_of_each_block(self):
        """Between bursts it is what it was."""
        busy = samples(lambda t: 5000 + (t if t % 5 else 0))
        self.assertFalse(slopes.is_flat(slopes.growth(busy), 100))
        self.assertTrue(slopes.is_flat(slopes.growth(busy, share=0.1), 100))

    def test_few_samples(self):
        self.assertEqual(slopes.growth([(0, 1)])["grown"], 0)
        self.assertEqual(slopes.slope([(1, 1), (1, 5)]), (0.0, 0.0, 0.0))


if __name__ == "__main__":
    unittest.main()
