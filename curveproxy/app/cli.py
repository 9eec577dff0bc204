"""The command line. Data on stdout, everything else on stderr; no traceback for a user's mistake."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import click

from curveproxy import __version__
from curveproxy.app.cli_certificates import COMMANDS, FILE
from curveproxy.app.observe.text import printable
from curveproxy.app.terminal import Command, fail, tell, unbuffer_stderr
from curveproxy.policy.socket_types import SOCKET_TYPES
from curveproxy.wire.errors import CodecError

# Modules are imported where they are needed: --version and keygen start quickly, and run loads nothing of the others.


class Group(click.Group):
    """The command, and how all subcommands end."""

    command_class = Command

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        if sys.platform != "linux":
            fail("it runs on Linux only: it needs epoll and SO_COOKIE", 2)
        unbuffer_stderr()
        try:
            status = super().main(*args, **kwargs | {"standalone_mode": False})
            print(end="", flush=True)
        except click.UsageError as error:
            if not sys.argv[1:]:
                with suppress(OSError):
                    error.show()  # the help, for a command without arguments
                sys.exit(2)
            command = error.ctx.command_path if error.ctx else "curveproxy"
            message = error.format_message().rstrip(".")
            fail(f"{message[:1].lower()}{message[1:]}: see {command} --help", 2)
        except CodecError as error:
            fail(str(error), 2)
        except click.Abort:  # Ctrl-C
            sys.exit(1)
        except OSError as error:  # of stdout, which is flushed at the end and not where it is written
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if not isinstance(error, BrokenPipeError):  # the reader of a pipe has read enough
                fail((error.strerror or str(error)).lower())
            status = 0
        sys.exit(status)


def show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from importlib.metadata import version

    from curveproxy.wire.codec.select import CODEC
    from curveproxy.wire.codec.suites import Suite, available_suites

    aegis = "yes" if Suite.AEGIS_256 in available_suites() else "no"
    print(f"curveproxy {__version__}, {CODEC} codec, PyNaCl {version('PyNaCl')}, aegis-256 here: {aegis}")
    context.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show what is installed.",
)
def main() -> None:
    """Terminate CurveZMQ in front of ZeroMQ services that speak plain ZMTP, or speak it for clients that do not."""


@main.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--listen", metavar="ENDPOINT", help="Where clients connect, as tcp://*:5556.")
@click.option("--backend", metavar="ENDPOINT", help="The plain service, as tcp://127.0.0.1:5555.")
@click.option(
    "--remote", metavar="ENDPOINT", multiple=True, help="Instead: a CURVE server; several are tried in order."
)
@click.option("--server-key", metavar="KEY", multiple=True, help="The remote's public key: Z85, or its .key file.")
@click.option("--secret-key", metavar="FILE", type=click.Path(path_type=Path), help="Our own; made if missing.")
@click.option("--authority", metavar="FILE", multiple=True, help="An .authority whose certificates are believed.")
@click.option("--server-name", metavar="NAME", help="What its certificate must call the remote.  [its host]")
@click.option("--certificate", metavar="FILE", help="Our own: told to who asks, or shown to the remote.")
@click.option("--clients", metavar="DIR", type=click.Path(path_type=Path), help="Certificates of allowed clients.")
@click.option("--allow-any", is_flag=True, help="Let in whoever has any key.")
@click.option("--admin", metavar="ADDRESS", help='Where /metrics is served; "" for nowhere.  [127.0.0.1:9464]')
@click.option("--name", metavar="NAME", help="The name in metrics and logs.  [default]")
def run(config: Path | None, **options: Any) -> None:
    """Run the proxy, by a CONFIG file or by options.

    With --backend clients speak CURVE and the service is plain; with --remote clients are plain, and the proxy speaks
    CURVE for them.
    """
    from curveproxy.app.commands.options import OptionsError, RunOptions, config_of_options
    from curveproxy.app.config.certificates import KeyFileError
    from curveproxy.app.config.load import ConfigError, load
    from curveproxy.wire import z85

    given = RunOptions(**options)
    if (sentence := given.objection(has_file=config is not None)) is not None:
        raise click.UsageError(sentence)
    try:
        if config is not None:
            loaded = load(config)
        else:
            loaded, keys = config_of_options(given)
            print(z85.encode(keys.public), flush=True)
    except ConfigError as error:
        for complaint in error.complaints:
            tell(complaint)
        sys.exit(2)
    except (KeyFileError, OptionsError) as error:
        fail(str(error), 2)
    from curveproxy.app.process.main import run as run_process

    sys.exit(run_process(loaded, config))


@main.command()
@click.argument("config", type=click.Path(path_type=Path))
def check(config: Path) -> None:
    """Tell all that is wrong with a CONFIG file, its keys and its paths: exit 0 or 2."""
    from curveproxy.app.commands.check import check as look

    found = look(config)
    for sentence in found.errors:
        tell(f"error: {sentence}")
    for sentence in found.warnings:
        tell(f"warning: {sentence}")
    if found.errors:
        sys.exit(2)
    print(f"{printable(str(config))} is in order: {found.counts}")


@main.command(hidden=True)
@click.argument("index", type=int)
@click.argument("of", type=int)
@click.argument("descriptors", type=int)
def worker(index: int, of: int, descriptors: int) -> None:
    """Relay for the process that has started this one, by the channel on standard input."""
    from curveproxy.app.process.worker import work

    work(index, of, descriptors)


@main.command()
@click.argument("name")
@click.option("--directory", default=".", type=click.Path(path_type=Path), help="Where to write; made if missing.  [.]")
def keygen(name: str, directory: Path) -> None:
    """Write NAME.key and NAME.key_secret, and print the public key."""
    from curveproxy.app.config.certificates import SECRET_SUFFIX, KeyFileError, write_key_pair
    from curveproxy.wire import z85
    from curveproxy.wire.curve.keys import KeyPair

    if not name or "/" in name or name.startswith("."):
        raise click.UsageError(f"{name!r} is not a name for a key: use --directory for where to write")
    pair = KeyPair.generate()
    secret_file = directory / f"{name}{SECRET_SUFFIX}"
    try:
        public_file = write_key_pair(secret_file, pair)
    except KeyFileError as error:
        fail(str(error))
    tell(f"wrote {public_file} and {secret_file}")
    print(z85.encode(pair.public))


@main.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
def health(config: Path | None) -> None:
    """Ask a running proxy whether it is ready: exit 0 or 1."""
    from curveproxy.app.admin.client import NobodyAnswersError, ask
    from curveproxy.app.commands.options import OptionsError, admin_address

    try:
        status, reason = ask(admin_address(config, None), "/readyz")
    except OptionsError as error:
        fail(str(error), 2)
    except NobodyAnswersError as error:
        fail(str(error))
    if status != 200:
        fail(f"not ready: {reason}")
    print("ready")


@main.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--admin", metavar="ADDRESS", help="Where it is served.  [127.0.0.1:9464]")
@click.option("--once", is_flag=True, help="Print it once; so it is where stdout is no terminal.")
def top(config: Path | None, admin: str | None, once: bool) -> None:
    """Show services, refusals and sessions of a running proxy, every second.

    The arrow keys, j, k, PgUp, PgDn, Home and End scroll; q ends it.
    """
    from curveproxy.app.admin.client import NobodyAnswersError
    from curveproxy.app.commands.options import OptionsError, admin_address
    from curveproxy.app.commands.top import top as show

    if config is not None and admin is not None:
        raise click.UsageError("a configuration file and --admin: use one or the other")
    try:
        show(admin_address(config, admin), once=once)
    except OptionsError as error:
        fail(str(error), 2)
    except NobodyAnswersError as error:
        fail(str(error))
    except KeyboardInterrupt:
        pass


@main.command()
@click.argument("endpoint")
@click.option("--server-key", metavar="KEY", help="The server's public key: Z85, or its .key file.")
@click.option("--authority", metavar="FILE", multiple=True, type=FILE, help="Whose certificate tells it instead.")
@click.option("--server-name", metavar="NAME", help="What that must call the server.  [the endpoint's host]")
@click.option("--secret-key", metavar="FILE", type=FILE, help="The client's; fresh without it.")
@click.option("--certificate", metavar="FILE", type=FILE, help="The client's, to be presented.")
@click.option(
    "--socket-type",
    default="DEALER",
    type=click.Choice(SOCKET_TYPES, case_sensitive=False),
    metavar="TYPE",
    help="What to come as: the counterpart of the service's.  [DEALER]",
)
@click.option("--json", "as_json", is_flag=True, help="Tell it as one JSON object.")
def probe(endpoint: str, as_json: bool, **options: Any) -> None:
    """Do a handshake with the server at ENDPOINT, and tell where it fails and why: exit 0 or 1.

    It sends no message. A service that deals messages out, as PUSH does, may deal it one, which is lost.
    """
    from curveproxy.app.commands.probe import probe as look
    from curveproxy.app.commands.probe_sides import ProbeOptions
    from curveproxy.proxy.net.endpoint import Endpoint

    try:
        given = ProbeOptions(Endpoint.parse(endpoint), **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if (sentence := given.objection) is not None:
        raise click.UsageError(sentence)
    sys.exit(0 if look(given, as_json=as_json) else 1)


@main.command()
@click.option("--once", is_flag=True, help="End after ten messages.")
def demo(once: bool) -> None:
    """Show a plain service and a plain client, and both directions of the proxy between them."""
    from curveproxy.app.commands.demo import demo as run_demo

    run_demo(once)


for certificates in COMMANDS:
    main.add_command(certificates)
