"""Extracts the words of an HTML page as a browser shows them, to check the Markdown against.

A libxslt stylesheet computes them from the tree that lxml parsed, before anything is removed or rewritten. It shares no
code with the conversion.

Decisions
1. Inline elements join (`<i>a</i><i>b</i>` shows "ab") and other elements separate words. Links, `code` and the like
   separate too, since Markdown writes syntax there.
2. Siblings are addressed as `[1]` alone: with a second predicate libxslt visits all of them, and 20,000 `code` elements
   in a row took 10 s.
3. The stylesheet takes 1.0 ms for the largest page of messy/dev. `itertext` takes 1.4 ms and knows no inline elements.
   `xsl:text` costs half as much as `xsl:value-of`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

Element = Any  # lxml.etree._Element; lxml has no types of its own

_UPPER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STYLESHEET: Final = f"""
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="text"/>
  <xsl:template match="*"><xsl:text> </xsl:text><xsl:apply-templates/><xsl:text> </xsl:text></xsl:template>
  <xsl:template match="span|font|wbr|u|small|big|sub|sup|nobr|bdi|bdo|ins|i|b|em|strong|cite|abbr|dfn|var|acronym|time
                       |data|ruby"><xsl:apply-templates/></xsl:template>
  <xsl:template match="a">
    <xsl:if test="@href"><xsl:text> </xsl:text></xsl:if>
    <xsl:apply-templates/>
    <xsl:if test="@href"><xsl:text> </xsl:text></xsl:if>
  </xsl:template>
  <xsl:template match="code|kbd|samp">
    <xsl:if test="not(contains(' code kbd samp ', concat(' ', name(preceding-sibling::node()[1]), ' ')))">
      <xsl:text> </xsl:text>
    </xsl:if>
    <xsl:apply-templates mode="pre"/>
    <xsl:if test="not(contains(' code kbd samp ', concat(' ', name(following-sibling::node()[1]), ' ')))">
      <xsl:text> </xsl:text>
    </xsl:if>
  </xsl:template>
  <xsl:template match="pre"><xsl:text> </xsl:text><xsl:apply-templates mode="pre"/><xsl:text> </xsl:text></xsl:template>
  <xsl:template match="*" mode="pre"><xsl:apply-templates mode="pre"/></xsl:template>
  <xsl:template match="a|p|div|br|li|td|th|img|input|select|textarea|label|button|script|style" mode="pre">
    <xsl:apply-templates select="."/>
  </xsl:template>
  <xsl:template match="script|style|head/title"/>
  <xsl:template match="iframe|noframes|noembed">
    <xsl:if test="not(contains(., '&lt;'))"><xsl:value-of select="concat(' ', ., ' ')"/></xsl:if>
  </xsl:template>
  <xsl:template match="img|area"><xsl:value-of select="concat(' ', @alt, ' ')"/></xsl:template>
  <xsl:template match="input">
    <xsl:variable name="type" select="concat(' ', translate(@type, '{_UPPER}', '{_UPPER.lower()}'), ' ')"/>
    <xsl:if test="not(contains(' hidden password checkbox radio file color range ', $type)) or not(@type)">
      <xsl:value-of select="concat(' ', @value, ' ', @placeholder, ' ', @alt, ' ')"/>
    </xsl:if>
  </xsl:template>
  <xsl:template match="optgroup|textarea|track|option">
    <xsl:value-of select="concat(' ', @label, ' ', @placeholder, ' ')"/>
    <xsl:if test="self::option and not(node())"><xsl:value-of select="@value"/></xsl:if>
    <xsl:apply-templates/><xsl:text> </xsl:text>
  </xsl:template>
</xsl:stylesheet>
"""


def page_text(root: Element) -> str:
    """All text of a page or an element, without scripts, styles and the title; fields and images by their texts."""
    return str(_stylesheet()(root))


@cache
def _stylesheet() -> Any:
    from lxml import etree

    return etree.XSLT(etree.XML(_STYLESHEET))
