"""The contract suite that keeps the embedded engine honest, against the real server."""

from ..paths import ROOT
from ..procs import Failed, Proc
from ..stack import Stack
from . import scenario

_SUITE = "contract_live"


@scenario("contract", own_bridge=True)
def contract(stack: Stack) -> None:
    """the probes that the embedded engine passes in `cargo test`, on the real server"""
    proc = Proc("contract", ["cargo", "test", "--locked", "--test", _SUITE, "--", "--nocapture"],
                {"HANDBACK_CONTRACT_ENDPOINT": stack.cadence.address, "RUST_BACKTRACE": "0"}, ROOT)
    try:
        code = proc.wait(1500)
    finally:
        proc.stop()
    if code != 0:
        raise Failed(f"cargo test --test {_SUITE} ended with code {code}", proc.log)
    # A suite that ran nothing would pass as well.
    if b" 0 passed" in proc.log.read_bytes() or b" passed" not in proc.log.read_bytes():
        raise Failed("the contract suite ran no test", proc.log)
