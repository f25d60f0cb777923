"`lm-from-scratch`, and `python -m lm_from_scratch`: Ctrl-C is heard before anything large is imported."
import os
import signal


def _stop(number, frame):
    try: os.write(2, b'\nStopped.\n')   # nobody may be there to read it
    finally: os._exit(128+number)


def main():
    "Entry point of `lm-from-scratch`."
    for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, _stop)
    from lm_from_scratch.cli import main
    main()


if __name__ == '__main__': main()
