# SPDX-License-Identifier: MIT
"""Varlink's interface definition language, read strictly: the subset that every parser seen takes. From what a daemon
says of itself the tests make their calls, right ones and wrong ones, and hold the replies against it."""
import re
from dataclasses import dataclass, field

TOKEN = re.compile(r"\s*(?:#[^\n]*\n\s*)*(->|\[string\]|\[\]|[?:,()]|[A-Za-z][A-Za-z0-9_]*|$)")
INTERFACE = re.compile(r"[A-Za-z](-?[A-Za-z0-9])*(\.[A-Za-z0-9](-?[A-Za-z0-9])*)+\Z")
MEMBER = re.compile(r"[A-Z][A-Za-z0-9]*\Z")
FIELD = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*\Z")
PLAIN = ("bool", "int", "float", "string", "object")


@dataclass
class Type:
    """kind: one of PLAIN, "name", "struct", "enum", "array" or "map"."""
    kind: str
    nullable: bool = False
    name: str = ""
    fields: dict = field(default_factory=dict)
    words: tuple = ()
    element: "Type" = None


@dataclass
class Method:
    name: str
    doc: str
    inputs: Type
    outputs: Type


@dataclass
class Interface:
    name: str
    types: dict = field(default_factory=dict)
    methods: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)

    def problems(self, kind, value, where="reply"):
        """What makes value something else than of this type: a list of texts. Every field has to be there."""
        if value is None:
            return [] if kind.nullable else [f"{where}: null, but not nullable"]
        if kind.kind == "name":
            return self.problems(self.types[kind.name], value, where)
        python = {"bool": bool, "int": int, "float": (int, float), "string": str, "object": object, "struct": dict,
                  "enum": str, "array": list, "map": dict}[kind.kind]
        if not isinstance(value, python) or (kind.kind in ("int", "float") and isinstance(value, bool)):
            return [f"{where}: {value!r} is no {kind.kind}"]
        if kind.kind == "enum" and value not in kind.words:
            return [f"{where}: {value!r} is none of {kind.words}"]
        if kind.kind == "struct":
            found = [f"{where}: has no {name}" for name in kind.fields if name not in value]
            found += [f"{where}: has {name}, which is not described" for name in value if name not in kind.fields]
            for name, inner in kind.fields.items():
                if name in value:
                    found += self.problems(inner, value[name], f"{where}.{name}")
            return found
        if kind.kind in ("array", "map"):
            items = enumerate(value) if kind.kind == "array" else value.items()
            return [p for key, item in items for p in self.problems(kind.element, item, f"{where}[{key}]")]
        return []


class Parser:
    def __init__(self, text):
        self.text = text
        self.at = 0
        self.comment = ""

    def peek(self):
        match = TOKEN.match(self.text, self.at)
        if not match:
            raise SyntaxError(f"at {self.text[self.at:self.at + 40]!r}")
        return match

    def take(self, wanted=None):
        match = self.peek()
        token = match.group(1)
        if wanted is not None and token != wanted and not (hasattr(wanted, "match") and wanted.match(token)):
            raise SyntaxError(f"{token!r} instead of {wanted!r}, before {self.text[match.end():][:40]!r}")
        self.comment = " ".join(re.findall(r"#[ \t]*([^\n]*)", self.text[match.start():match.start(1)]))
        self.at = match.end()
        return token

    def next_is(self, token):
        if self.peek().group(1) != token:
            return False
        self.take()
        return True

    def type(self, in_array=False):
        nullable = not in_array and self.next_is("?")
        for token, kind in (("[]", "array"), ("[string]", "map")):
            if not in_array and self.next_is(token):
                return Type(kind, nullable, element=self.type(in_array=True))
        if self.peek().group(1) == "(":
            kind = self.fields()
            if not kind.fields and not kind.words:
                raise SyntaxError("an empty struct as a type")
            kind.nullable = nullable
            return kind
        word = self.take(re.compile("[A-Za-z]"))
        return Type(word, nullable) if word in PLAIN else Type("name", nullable, name=word)

    def fields(self):
        """A struct, or an enum: told apart by the colon."""
        self.take("(")
        fields, words = {}, []
        while not self.next_is(")"):
            if fields or words:
                self.take(",")
            name = self.take(FIELD)
            if name in fields or name in words:
                raise SyntaxError(f"{name} twice")
            if not words and self.next_is(":"):
                fields[name] = self.type()
            elif fields:
                raise SyntaxError(f"{name} without a type")
            else:
                words.append(name)
        return Type("enum", words=tuple(words)) if words else Type("struct", fields=fields)

    def member(self, interface):
        kind = self.take(re.compile("type|method|error"))
        doc = self.comment
        name = self.take(MEMBER)
        if name in interface.types or name in interface.methods or name in interface.errors:
            raise SyntaxError(f"{name} twice")
        if kind == "type":
            interface.types[name] = self.type()
        elif kind == "error":
            interface.errors[name] = self.fields()
        else:
            inputs = self.fields()
            self.take("->")
            interface.methods[name] = Method(name, doc, inputs, self.fields())


def names_in(kind):
    if kind.kind == "name":
        yield kind.name
    for inner in [*kind.fields.values(), *([kind.element] if kind.element else [])]:
        yield from names_in(inner)


def parse(text):
    """The Interface that the text describes; SyntaxError where it is no such text."""
    parser = Parser(text)
    parser.take("interface")
    match = re.compile(r"\s*(\S+)").match(text, parser.at)
    if not match or not INTERFACE.match(match.group(1)):
        raise SyntaxError("no name of an interface")
    parser.at = match.end()
    interface = Interface(match.group(1))
    while parser.peek().group(1):
        parser.member(interface)
    used = [*interface.types.values(), *interface.errors.values()]
    used += [kind for m in interface.methods.values() for kind in (m.inputs, m.outputs)]
    unknown = {name for kind in used for name in names_in(kind)} - set(interface.types)
    if unknown:
        raise SyntaxError(f"types that are not there: {unknown}")
    return interface


def introspect(daemon):
    """{name: Interface} of all that the daemon offers."""
    with daemon.connect() as control:
        names = control.call("org.varlink.service.GetInfo")["interfaces"]
        return {name: parse(control.call("org.varlink.service.GetInterfaceDescription", interface=name)["description"])
                for name in names}
