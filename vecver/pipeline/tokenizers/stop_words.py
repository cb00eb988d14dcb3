"""Stop words: words of a language that are left out of keyword search, since nearly every text has them.

Decisions
1. Short lists of articles, prepositions, conjunctions and forms of "to be" only. Longer lists hold words that people
   ask for ("system", "show"), and BM25 gives a frequent word little weight anyway. English has Lucene's list with "I",
   "i.e." and "e.g.", so that published BM25 numbers apply. A language without a list keeps all its words.
"""

from __future__ import annotations

from typing import Final

STOP_WORDS: Final[dict[str, frozenset[str]]] = {
    language: frozenset(words.split())
    for language, words in {
        "danish": "af at da de den der det du en er et for fra han har hun i ikke ja jeg med men nej nu og om på sig"
        " sin som så til var ved vi",
        "dutch": "aan als bij dat de den der die dit door een en er het hij ik in is je maar met naar niet of om ook op"
        " over te tot uit van voor was we wij ze zij zijn",
        "english": "a an and are as at be but by e.g for i i.e if in into is it no not of on or such that the their"
        " then there these they this to was will with",
        "french": "à au aux avec ce ces cet cette d dans de des du elle en est et il ils je l la le les leur lui mais"
        " n ne nous on ou où par pas pour qu que qui s sa se ses son sont sur un une vous y",
        "german": "als am an auch auf aus bei das dass dem den der des die ein eine einem einen einer eines er es für"
        " hat im in ist ich mit nach nicht oder sich sie sind so um und von vor war wie wir wird zu zum zur über",
        "italian": "a ad ai al alla alle anche che chi con d da dal dalla dei del della delle di e ed gli i il in l la"
        " le lo ma nel nella non o per più se si sono su sul sulla un una uno è",
        "norwegian": "av at da de den der det du en er et for fra han har hun i ikke ja jeg med men nei nå og om på seg"
        " sin som så til var ved vi",
        "portuguese": "a ao aos as com da das de do dos e em foi na nas não no nos o os ou para pela pelo por que se"
        " sem ser seu sua são um uma é",
        "russian": "а без был была были было в во все для до его ее её если и из или их к как ко мы на не но о об он"
        " она они от по при с со так то у что это я",
        "spanish": "a al como con de del el ella en entre es ese esta este esto la las le lo los más no o para pero"
        " por que se sin son su sus un una y ya",
        "swedish": "att av de den det du en ett från för han har hon i inte ja jag med men nej nu och om på sig sin"
        " som så till var vi vid är",
    }.items()
}
