"""What can go wrong in ways a user can be told of, each with the exit code that the command line answers with."""


class VitcError(Exception):
    """One line for the user: what is wrong, what is allowed, what to do."""

    exit_code = 2


class VerificationFailed(VitcError):
    """An artifact or a gate did not hold what was promised."""

    exit_code = 1


class UserError(VitcError):
    """Something the user can mend: an input, a flag, a file."""

    exit_code = 2


class NotAvailable(VitcError):
    """What was asked for is not on this machine: a library, a network, a device."""

    exit_code = 3
