"""Whether one gets into the cluster from here: the way to it, the token, the ports."""

from __future__ import annotations

from core.doctor.facts import Facts, Link, Port, Token
from core.doctor.finding import Finding, ok, problem, warning

CHECK_TOKEN = "token"
GET_TOKEN = (
    "Copy the head's file (~/.ray/auth_token; /var/lib/dame/secrets/auth_token in a container) here, with mode 0600,"
    " and name it by RAY_AUTH_TOKEN_PATH unless it is ~/.ray/auth_token."
)
OTHERS = 0o077


def check_link(facts: Facts) -> list[Finding]:
    """Whether Ray lets us in, and whether the NameNode serves."""
    link, cluster = facts.link, facts.cluster
    if link.state == "stopped":
        return [ok("cluster", f"No process runs the cluster {link.place}; any verb starts it.")]
    if link.state == "starting":
        return [
            warning(
                "cluster",
                f"A process is starting the cluster {link.place}, or ending it.",
                "Ask again in a minute; if it stays so, end that process (its id is in run/lock) and start it anew.",
            )
        ]
    if link.state == "refused":
        return [problem("cluster", link.refusal, _way_in(link))]
    if cluster.other_release:
        return []  # the finding on versions tells of it
    if cluster.refusal:
        return [problem("cluster", cluster.refusal, _namenode_advice(link))]
    return [ok("cluster", f"The cluster {link.place} answers.")]


def _way_in(link: Link) -> str:
    if link.cause == "token":
        return GET_TOKEN
    if link.cause == "versions":
        return "Install the versions of the cluster here, or run DAME inside it: docker compose run --rm tui."
    if link.embedded:
        return (
            "End the process that runs it (its id is in run/lock) and start it anew; `restore-catalog` if it says so."
        )
    return (
        "See whether the head runs (docker compose ps; ray status on the head), and whether that is its address; the"
        " findings on ports say what answers."
    )


def _namenode_advice(link: Link) -> str:
    where = "the process that runs it" if link.embedded else "the head (docker compose logs head)"
    return (
        f"Look at what {where} says. Where no NameNode runs, any verb but this one starts it, and RayServer's head does"
        " so by itself; where its directory is refused, do what the sentence says."
    )


def check_token(facts: Facts) -> list[Finding]:
    token, link = facts.token, facts.link
    if token.mode != "token":
        return [_without_token(link)]
    findings = [*_token_there(token, link), *_token_file(token)]
    if link.cause == "token":
        findings.append(problem(CHECK_TOKEN, f"The cluster does not accept the token in {token.source}.", GET_TOKEN))
    elif link.state == "reached" and token.state == "there":
        findings.append(ok(CHECK_TOKEN, f"The cluster accepts the token in {token.source}."))
    return findings


def _without_token(link: Link) -> Finding:
    seen = "RAY_AUTH_MODE is not `token`: Ray's ports run any code that they are sent, by whoever reaches them."
    advice = "Unset it, or set RAY_AUTH_MODE=token on every machine, and start the cluster again."
    return warning(CHECK_TOKEN, seen, advice) if link.embedded else problem(CHECK_TOKEN, seen, advice)


def _token_there(token: Token, link: Link) -> list[Finding]:
    if token.state == "there":
        return []
    if link.embedded and not token.named:
        return [ok(CHECK_TOKEN, f"There is no token in {token.source} yet; one is made with the first cluster here.")]
    what = {"missing": "is not there", "empty": "is empty", "unreadable": "can't be read"}[token.state]
    return [problem(CHECK_TOKEN, f"The token {token.source} {what}.", GET_TOKEN)]


def _token_file(token: Token) -> list[Finding]:
    if token.permissions is None or not token.permissions & OTHERS:
        return []
    return [
        warning(
            CHECK_TOKEN,
            f"Others on this machine may use {token.source}: its mode is {token.permissions:04o}.",
            f"chmod 600 {token.source}",
        )
    ]


def check_ports(facts: Facts) -> list[Finding]:
    """What answers at the head. Only the port that the address names has to."""
    return [_port(port, facts.link) for port in facts.ports]


def _port(port: Port, link: Link) -> Finding:
    if not port.trouble:
        return ok("ports", f"{port.place} ({port.what}) answers.")
    if not port.needed:
        return ok("ports", f"{port.place} ({port.what}) does not answer from here, and need not: {port.trouble}.")
    return problem(
        "ports",
        f"{port.place} ({port.what}) does not answer: {port.trouble}.",
        "Check the address and that the head runs. Containers publish their ports on 127.0.0.1 of their own machine"
        " unless DAME_PUBLISH says otherwise; a firewall may be between."
        if not link.embedded
        else "The process that runs the cluster has lost Ray's head; `up` starts it again, others are to be restarted.",
    )
