import json

from django.test import SimpleTestCase

from curfew_session.values import compact, merge_patch, pack, unpack

from .edge import merge

VALUES = [
    None,
    [None],
    [[None]],
    [[[None]]],
    [],
    [[]],
    [None, None],
    [{"a": None}],
    {},
    {"a": None},
    {"a": {"b": None, "c": [None]}},
    [1],
    1,
    1.0,
    True,
    False,
    0,
    "",
    "\x7f\x00\u2028é😀",
    2**70,
]


class ValuesTest(SimpleTestCase):
    def test_every_change_survives_the_patch(self):
        for old in VALUES:
            for new in VALUES:
                before, after = {"k": old, "same": [1]}, {"k": new, "same": [1]}
                sent = json.loads(compact(merge_patch(pack(before), pack(after))))
                stored = unpack(merge(pack(before), sent))
                self.assertEqual(json.dumps(stored), json.dumps(after), sent)
                self.assertEqual(sent == {}, json.dumps(old) == json.dumps(new), sent)

    def test_only_what_changed_is_sent(self):
        old = {"keep": 1, "cart": {"a": 1, "b": {"n": 1, "m": 2}}, "list": [1, 2], "gone": 1}
        new = {"keep": 1, "cart": {"a": 1, "b": {"n": 1, "m": 3}}, "list": [1, 2, 3], "new": {"x": {}}}
        patch = {"cart": {"b": {"m": 3}}, "list": [1, 2, 3], "gone": None, "new": {"x": {}}}
        self.assertEqual(merge_patch(old, new), patch)
        self.assertEqual(merge(old, patch), new)

    def test_no_member_is_null(self):
        self.assertEqual(pack({"a": None, "b": [None], "c": [[None], 1]}), {"a": [None], "b": [[None]], "c": [[None], 1]})

    def test_a_header_can_carry_it(self):
        text = compact(VALUES)
        self.assertTrue(text.isascii() and text.isprintable(), text)
        self.assertEqual(json.loads(text), VALUES)

    def test_not_a_number_is_refused(self):
        with self.assertRaisesMessage(ValueError, "not JSON compliant"):
            compact({"price": float("nan")})
