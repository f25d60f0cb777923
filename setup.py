"Fill in what pyproject.toml calls dynamic: settings.ini holds the requirements, lm_from_scratch/__init__.py the version."
import re
import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
cfg = ConfigParser()
cfg.read(here/'settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
statuses = {3: '3 - Alpha', 4: '4 - Beta', 5: '5 - Production/Stable'}

course = cfg['course_requirements'].split()


class WithCourse(build_py):
    "The notebooks lie outside the package; in a wheel they go along, with the pictures that they show."
    def run(self):
        super().run()
        if self.editable_mode: return            # they are read where they are
        to, nbs = Path(self.build_lib)/'lm_from_scratch/notebooks', here/'nbs'
        shutil.rmtree(to, ignore_errors=True)
        files = {f.relative_to(nbs): f for p in ('[0-9]*.ipynb', 'solutions/*.ipynb') for f in sorted(nbs.glob(p))}
        used = {name for f in files.values() for name in re.findall(r'\.\./images/([\w.-]+)', f.read_text(encoding='utf-8'))}
        for name, f in {**files, **{Path('images', n): here/'images'/n for n in sorted(used)}}.items():
            (to/name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(f, to/name)


setup(
    version=re.search(r'__version__ = "(.+)"', (here/'lm_from_scratch/__init__.py').read_text(encoding='utf-8')).group(1),
    install_requires=cfg['requirements'].split(),
    extras_require={'course': course, 'dev': [*course, *cfg['dev_requirements'].split()], 'docs': cfg['doc_requirements'].split(),
                    'export': cfg['export_requirements'].split()},
    cmdclass={'build_py': WithCourse},
    classifiers=[f"Development Status :: {statuses[cfg.getint('status')]}", 'Natural Language :: English',
                 'Programming Language :: Python :: 3', 'Programming Language :: Python :: 3 :: Only']
                + [f'Intended Audience :: {o.strip()}' for o in cfg['audience'].split(',')],
)
