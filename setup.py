"Fill in what pyproject.toml calls dynamic: settings.ini holds the requirements, lm_from_scratch/__init__.py the version."
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
cfg = ConfigParser()
cfg.read(here/'settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
statuses = {3: '3 - Alpha', 4: '4 - Beta', 5: '5 - Production/Stable'}

setup(
    version=re.search(r'__version__ = "(.+)"', (here/'lm_from_scratch/__init__.py').read_text(encoding='utf-8')).group(1),
    install_requires=cfg['requirements'].split(),
    extras_require={'dev': cfg['dev_requirements'].split(), 'docs': cfg['doc_requirements'].split(),
                    'export': cfg['export_requirements'].split()},
    classifiers=[f"Development Status :: {statuses[cfg.getint('status')]}", 'Natural Language :: English',
                 'Programming Language :: Python :: 3', 'Programming Language :: Python :: 3 :: Only']
                + [f'Intended Audience :: {o.strip()}' for o in cfg['audience'].split(',')],
)
