"""`python -m un_lightning …` is `un-lightning …`."""

from un_lightning.cli import main


if __name__ == "__main__":
    main()
