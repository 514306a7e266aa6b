"""``sentinel check`` as it is typed: its arguments, options and exit status."""

from typing import Annotated

import typer

from sentinel.environment import read_environment


def check(
    url: Annotated[
        str,
        typer.Argument(metavar="URL", help="What to check; example.org is https://example.org."),
    ],
    method: Annotated[
        str | None,
        typer.Option("-X", "--method", metavar="METHOD", help="GET, or POST with --data."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="A header; repeatable."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "-d",
            "--data",
            metavar="TEXT|@FILE|-",
            help="The body, as a form unless a header says otherwise; - is the standard input.",
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("-u", "--user", metavar="USER:PASSWORD", help="Basic authentication."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="For all of a check, DNS and body included.")
    ] = 10.0,
    expect: Annotated[
        str, typer.Option(metavar="CODES", help="Status codes that are up, such as 200-299,401.")
    ] = "200-299",
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Whether to go where redirects lead.")
    ] = True,
    insecure: Annotated[
        bool, typer.Option("-k", "--insecure", help="Take certificates unverified.")
    ] = False,
    http2: Annotated[
        bool, typer.Option("--http2", help="Offer HTTP/2 where there is TLS.")
    ] = False,
    ipv4: Annotated[bool, typer.Option("-4", "--ipv4", help="Over IPv4 only.")] = False,
    ipv6: Annotated[bool, typer.Option("-6", "--ipv6", help="Over IPv6 only.")] = False,
    degraded_after: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Past which up is degraded.")
    ] = None,
    assertion: Annotated[
        list[str] | None,
        typer.Option(
            "--assert", metavar="JSON", help="An assertion as the API has it; repeatable."
        ),
    ] = None,
    nameserver: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS", help="In place of SENTINEL_NAMESERVERS or the system's; repeatable."
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR[:PORT]",
            help="Beside SENTINEL_ALLOWED_TARGETS may be dialled; repeatable.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a check: the API's keys, and more.")
    ] = False,
    repeat: Annotated[
        int, typer.Option(metavar="N", help="How many checks, one after another.")
    ] = 1,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="From the end of one to the next.")
    ] = 1.0,
    color: Annotated[
        bool,
        typer.Option("--color/--no-color", help="NO_COLOR in the environment is honoured too."),
    ] = True,
) -> None:
    """Check one URL now, with the probe of the workers, and show where the time went.

    Nothing of the cluster has to run. DNS is asked anew for each check. Of
    the environment count SENTINEL_ALLOWED_TARGETS, SENTINEL_REFUSED_TARGETS,
    SENTINEL_NAMESERVERS, SENTINEL_CANARIES and SSL_CERT_FILE.

    Exit status: 0 up; 1 degraded or down; 2 internal (our policy, network or
    fault) or wrong usage; with --repeat the highest of all; 130 for a Ctrl-C
    before any result.
    """
    from sentinel.check import USAGE, run  # noqa: PLC0415 - the other commands need no probe
    from sentinel.check_options import Options, Refused  # noqa: PLC0415

    options = Options(
        url=url,
        method=method,
        headers=tuple(header or ()),
        data=data,
        user=user,
        timeout=timeout,
        expect=expect,
        follow=follow,
        insecure=insecure,
        http2=http2,
        ipv4=ipv4,
        ipv6=ipv6,
        degraded_after=degraded_after,
        assertions=tuple(assertion or ()),
        nameservers=tuple(nameserver or ()),
        allow=tuple(allow or ()),
        repeat=repeat,
        interval=interval,
    )
    try:
        environment = read_environment()
    except SystemExit as error:
        typer.echo(error.code, err=True)
        raise typer.Exit(USAGE) from None  # its own status would say that the target is down
    try:
        status = run(options, environment, as_json=as_json, colour=color)
    except Refused as error:
        typer.echo(f"Sentinel: {error}.", err=True)
        raise typer.Exit(USAGE) from None
    raise typer.Exit(status)
