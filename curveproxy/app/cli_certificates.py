"""The part of the command line that is about certificates; ``cli`` takes its commands in."""

import time
from pathlib import Path
from typing import Any

import click

from curveproxy.app.observe.text import printable
from curveproxy.app.terminal import Command, fail, tell

# Modules are imported where they are needed, as in ``cli``.

FILE = click.Path(path_type=Path)
COUNT = click.IntRange(0, 10**18 - 1)
DAYS = click.IntRange(1, 36500)


@click.command(cls=Command)
@click.argument("name")
@click.option("--directory", default=".", type=FILE, help="Where to write; made if missing.  [.]")
def authority(name: str, directory: Path) -> None:
    """Write NAME.authority and NAME.authority_secret, which signs certificates, and print the public key."""
    from curveproxy.app.config.authorities import AuthorityFile, write_authority
    from curveproxy.app.config.certificates import KeyFileError
    from curveproxy.wire import z85
    from curveproxy.wire.certificate import NAME

    if NAME.fullmatch(name) is None or name.startswith("."):
        raise click.UsageError("a name has 1 to 64 of the letters A-Z a-z 0-9 . _ - and does not begin with a dot")
    made = AuthorityFile.generate(name)
    try:
        public_file, secret_file = write_authority(directory, made)
    except KeyFileError as error:
        fail(str(error))
    tell(f"wrote {public_file} and {secret_file}")
    print(z85.encode(made.key))


@click.command(cls=Command)
@click.argument("key", type=FILE)
@click.option("--authority", metavar="FILE", required=True, type=FILE, help="The .authority_secret that signs.")
@click.option("--name", metavar="NAME", help="Who it is, in log and page.  [the file's name]")
@click.option("--days", default=7, type=DAYS, metavar="DAYS", help="How long it is valid.  [7]")
@click.option("--services", metavar="WORDS", help="The only services that it is for.  [all]")
@click.option("--socket-types", metavar="WORDS", help="The only ones that it may have, as DEALER REQ.  [all]")
@click.option("--identity", metavar="WORD", help="The routing identity that it uses and gets.  [any]")
@click.option("--topics", metavar="WORDS", help="Prefixes to which it may subscribe; * for any.  [any]")
@click.option("--publish-topics", metavar="WORDS", help="Prefixes of what it may publish; * for any.  [any]")
@click.option("--max-sessions", type=COUNT, metavar="NUMBER", help="How many sessions it may have; 0 for any.")
@click.option("--messages-per-second", type=COUNT, metavar="NUMBER", help="How many messages it may send; 0 for any.")
@click.option("--bytes-per-second", type=COUNT, metavar="NUMBER", help="How many octets it may send; 0 for any.")
@click.option("--renewable-days", type=DAYS, metavar="DAYS", help="How long it may be renewed.  [not at all]")
@click.option("--server", is_flag=True, help="Sign the key of a server.")
@click.option("--names", metavar="WORDS", help="What the server may be called, as its host.")
@click.option("--out", metavar="FILE", type=FILE, help="What to write.  [NAME.cert beside KEY]")
def sign(**options: Any) -> None:
    """Sign the KEY in a .key file: write its certificate.

    WORDS have one space between them; in a word %20 is a space, and %XX any octet.
    """
    from curveproxy.app.commands.certificates import SignOptions
    from curveproxy.app.commands.certificates import sign as make
    from curveproxy.app.commands.options import OptionsError
    from curveproxy.app.config.certificates import KeyFileError

    given = SignOptions(**options)
    if (sentence := given.objection) is not None:
        raise click.UsageError(sentence)
    try:
        path, until = make(given, int(time.time()), tell)
    except OptionsError as error:
        fail(str(error), 2)
    except KeyFileError as error:
        fail(str(error))
    tell(f"wrote {path}, valid until {until}")


@click.command(cls=Command)
@click.argument("certificate", type=FILE)
@click.option("--authority", metavar="FILE", multiple=True, type=FILE, help="An .authority that is believed.")
def show(certificate: Path, authority: tuple[Path, ...]) -> None:
    """Tell what a CERTIFICATE says, and whether it is valid: exit 0 or 1."""
    from curveproxy.app.commands.certificates import look
    from curveproxy.app.config.certificates import KeyFileError

    try:
        seen = look(certificate, authority, time.time())
    except KeyFileError as error:
        fail(str(error))
    for name, value in seen.lines:
        print(f"{name:<20}{value}")
    if seen.flaw:
        fail(f"{certificate}: {seen.flaw}")
    print(printable(seen.conclusion))
    if not authority:
        tell("whether its authority is to be believed was not looked at: name that by --authority")


@click.command(cls=Command)
@click.argument("certificate", type=FILE)
@click.option("--list", "list_file", metavar="FILE", required=True, type=FILE, help="The list; made if missing.")
def revoke(certificate: Path, list_file: Path) -> None:
    """Put the serial of a CERTIFICATE on a revocation list."""
    from curveproxy.app.config.authorities import add_revocation
    from curveproxy.app.config.certificates import KeyFileError
    from curveproxy.app.config.signed import read_signed

    try:
        revoked = read_signed(certificate)
        is_new = add_revocation(list_file, revoked)
    except KeyFileError as error:
        fail(str(error))
    tell(f"{list_file} has serial {revoked.serial}{'' if is_new else ' already'}")


COMMANDS = (authority, sign, show, revoke)
