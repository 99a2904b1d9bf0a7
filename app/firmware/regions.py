"""Region codes (CSC) and their countries: facts, for the names beside a code and for its like."""

# A country and its codes, the open market's first. Collected from public firmware lists.
_TABLE = """
AE XSG
AF AFG
AL AVF TEB PRO
AR ARO CTI PSN UFN
AT ATO DRE MAX MOB ONE TRG
AU XSA OPS TEL VAU
AZ AZC
BA BHO BHT TEB
BD BNG
BE BSE PRO
BG BGL GLB MTL VVT
BO BVO BVT BVV NTL
BR ZTO ZTA ZTM ZTR ZVV
BY MTB VEL SKZ
CA XAC BMC BWA CHR ESK FMC GLW KDO MTA PCM RWC SPC TLS VMC VTR
CH AUT ORG SWC SUN MOZ
CI SIE IRS
CL CHO CHB CHE CHL CHT CHV
CN CHC CHM CHN CHU CTC
CO COO COB COE COL COM
CY CYV CYO
CZ ETL O2C TMZ VDC XEZ
DE DBT DTM EPL VD2 VIA XEG
DK NEE DTL HTD TDC
DO CDR DOR TDR
DZ TMC ALG
EC ECO ALE EBE
EE SEB
EG EGY
ES PHE AMO ATL EUS FOP XEC YOG
FI NEE ELS SAU
FR XEF BOG FTM NRJ OFR SFR
GB BTU BTC CPW EVR H3G O2U VOD XEU
GE CAC
GH ACR
GR EUR COS GER TGR VGR
GT GTO CGU
HK TGY
HR CRO DHR TRA TWO VIP
HU XEH PAN TMH VDH WST
ID XID XSE
IE 3IE MET VDI TSI
IL ILO CEL PCL PTR MIR
IN INS INU NPL REL
IQ MID
IR THR
IT ITV HUI OMN TIM VOM WIN XET
JM JCG JCN
JO LEV
JP DCM KDI SJP XJP RKT
KE KEN AFR
KH CAM
KR KOO KTC LUC SKC KTO LUO SKO
KW MID
KZ SKZ KCL
LB MID
LK SLK
LT SEB OMT TEL
LU LUX
LV SEB LMT
MA MWD FWD MED
MK MBM VIM
MM MYM
MX MXO IUS SMO TCE UNE TMM
MY XME
NG ECT
NL PHN DNL TNL VDF XEN BEN
NO NEE TEN NBS
NP NPB
NZ NZC TNZ VNZ
PA PAO BPC PCW PBS PNG
PE PEO PET PNT PVT SAM
PH XTC GLB SMA XTE
PK PAK PKD
PL XEO DPL ERA IDE OPV PLS PRT TPL
PT TPH MEO OPT XEP TCL
PY PSP CTP UPO
RO ROM CNX COA HAT ORO VDR
RS SEE TEE TSR MSR TOP VIP
RU SER
SA KSA JED
SE NEE COM HTS TEL TEN VDS
SG XSP MM1 SIN STH
SI SIO MOT SIM
SK ORX ORS TMS TSK O2S
SV TGU SAL
TH THL THO THS
TN TUN
TR TUR BAS TLP TRC VTN
TW BRI CWT TCC FET
TZ SOL
UA SEK UMC KSV
US XAA ATT AIO BST CCT CHA DSH LRA SPR TMB TFN TMK USC VMU VZW XAR
UY UYO UFU CTU
UZ CAC
VE VMT MVL
VN XXV XEV
ZA XFA XFC XFV XFE XFM
"""
_BY_COUNTRY = {line[:2]: line[3:].split() for line in _TABLE.split("\n") if line}
# Codes for several countries at once.
GROUPS = {"EUX": "EU", "EUY": "EU", "NEE": "Nordic", "SEB": "Baltic", "MID": "ME", "EUX/EUY": "EU"}

COUNTRY = {code: country for country, codes in _BY_COUNTRY.items() for code in codes}


def country_of(csc: str) -> str:
    """ISO code of the country, a name for groups of them, or nothing."""
    return GROUPS.get(csc, COUNTRY.get(csc, ""))


def near(csc: str) -> list[str]:
    """Other codes for the same country, the open market's first; then the super-regions."""
    country = COUNTRY.get(csc, "")
    found = [code for code in _BY_COUNTRY.get(country, []) if code != csc]
    return list(dict.fromkeys([*found, *(g for g in ("EUX",) if country and g != csc)]))[:8]


def options() -> list[tuple[str, str]]:
    """Every code with its country, for a list under a field."""
    return sorted({**COUNTRY, **GROUPS}.items())
