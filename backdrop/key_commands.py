"""``backdrop keys``: which keys seal and open tokens, a new one, ended ones; the keys themselves are never shown."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from backdrop.options import Home, read_settings

keys = typer.Typer(help="Keys that seal the tokens in impression and click URLs.", no_args_is_help=True)


@keys.command("list")
def list_keys(home: Home = None) -> None:
    """Show the keys of the ring: which one seals, and until when the others open tokens."""
    from contracts import SystemClock
    from serving import load_keyring

    path = read_settings(home, None).keyring_path
    ring, now_ms = load_keyring(path), SystemClock().now_ms()
    sealing = ring.sealing_at(now_ms)
    typer.echo(f"{path}: {len(ring.keys)} keys")
    for key in sorted(ring.keys.values(), key=lambda key: key.created_ms, reverse=True):
        if key == sealing:
            use = "seals"
        elif key.revoked:
            use = "revoked, remembered" if key.kept_at(now_ms) else "revoked"
        elif key.created_ms > sealing.created_ms:
            use = "opens, seals in a moment"
        else:
            use = "opens" if key.opens_at(now_ms) else "ended"
        end = "" if key.not_after_ms is None else f", until {_at(key.not_after_ms)}"
        typer.echo(f"  key {key.key_id}: made {_at(key.created_ms)}, {use}{end}")


@keys.command("rotate")
def rotate(home: Home = None) -> None:
    """Add a key that seals from now on; old ones open tokens for 30 days more. Running servers follow by themselves."""
    from contracts import SystemClock
    from serving import rotate_keyring

    path = read_settings(home, None).keyring_path
    ring = rotate_keyring(path, SystemClock().now_ms())
    typer.echo(f"key {ring.newest.key_id} of {len(ring.keys)} seals in a few seconds; copy {path} to other servers")


@keys.command("revoke")
def revoke(
    key_ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Keys, as `backdrop keys list` numbers them.")],
    home: Home = None,
) -> None:
    """End keys at once: their tokens neither count nor redirect any more. Running servers follow within a second."""
    from contracts import SystemClock
    from serving import revoke_keys

    path, now_ms = read_settings(home, None).keyring_path, SystemClock().now_ms()
    ring = revoke_keys(path, key_ids, now_ms)
    gone = ", ".join(map(str, sorted(set(key_ids))))
    typer.echo(f"key {gone} revoked, key {ring.sealing_at(now_ms).key_id} seals; copy {path} to other servers")


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
