"""The countries that the model knows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    name: str
    capital: str
    continent: str


_TABLE = """
France Paris Europe
Germany Berlin Europe
Italy Rome Europe
Spain Madrid Europe
Portugal Lisbon Europe
Austria Vienna Europe
Switzerland Bern Europe
Belgium Brussels Europe
Netherlands Amsterdam Europe
Denmark Copenhagen Europe
Norway Oslo Europe
Sweden Stockholm Europe
Finland Helsinki Europe
Poland Warsaw Europe
Greece Athens Europe
Hungary Budapest Europe
Ireland Dublin Europe
Iceland Reykjavik Europe
Ukraine Kyiv Europe
Croatia Zagreb Europe
Japan Tokyo Asia
China Beijing Asia
India Delhi Asia
Thailand Bangkok Asia
Vietnam Hanoi Asia
Nepal Kathmandu Asia
Mongolia Ulaanbaatar Asia
Turkey Ankara Asia
Iran Tehran Asia
Iraq Baghdad Asia
Egypt Cairo Africa
Kenya Nairobi Africa
Morocco Rabat Africa
Ghana Accra Africa
Ethiopia Addis_Ababa Africa
Senegal Dakar Africa
Tunisia Tunis Africa
Canada Ottawa America
Mexico Mexico_City America
Cuba Havana America
Brazil Brasilia America
Argentina Buenos_Aires America
Chile Santiago America
Peru Lima America
Colombia Bogota America
Uruguay Montevideo America
Australia Canberra Oceania
Fiji Suva Oceania
"""

COUNTRIES = tuple(
    Country(*(word.replace("_", " ") for word in line.split())) for line in _TABLE.split("\n")[1:-1]
)
CONTINENTS = tuple(sorted({country.continent for country in COUNTRIES}))
CAPITALS = tuple(country.capital for country in COUNTRIES)
# Real, and on purpose not known: the model says so instead of guessing.
UNKNOWN = tuple(
    "Bhutan Malta Latvia Estonia Bolivia Paraguay Angola Zambia Namibia Uganda Laos Qatar"
    " Oman Jordan Yemen Albania Serbia Moldova Belarus Georgia Armenia Panama Jamaica Haiti"
    " Samoa".split()
)
