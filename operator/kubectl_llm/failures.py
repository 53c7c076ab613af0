"""What is expected to go wrong, as one sentence and an exit code; anything else is a defect."""

from kubectl_llm.exits import ExitCode
from llm_operator import kinds
from llm_operator.cluster.errors import ApiError, ClusterUnavailable, Forbidden, NotFound

KIND_IS_MISSING = (
    f"The cluster has no {kinds.LLM_DEPLOYMENT.plural}.{kinds.GROUP}: install the operator first."
)


class Refusal(Exception):
    """The command ends here, with a sentence for the user and a code for the caller."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def refusal_from(error: ApiError) -> Refusal:
    """Translate what the API server answered, or that it did not answer."""
    message = error.message.rstrip(".")
    match error:
        case NotFound():
            return Refusal(f"{message}.", ExitCode.NOT_FOUND)
        case Forbidden():
            return Refusal(f"Not allowed: {message}.", ExitCode.FORBIDDEN)
        case ClusterUnavailable() if error.status == 401:
            return Refusal("The cluster does not know this user (401).", ExitCode.FORBIDDEN)
        case ClusterUnavailable():
            return Refusal(f"The cluster does not answer: {message}.", ExitCode.UNREACHABLE)
    return Refusal(f"The API server refused: {message}.")
