"""``kubectl-llm``, which ``kubectl`` runs for ``kubectl llm``."""

from kubectl_llm.app import COMMAND, make_app


def main() -> None:
    """Run the command line and end the process."""
    make_app()(prog_name=COMMAND)


if __name__ == "__main__":
    main()
