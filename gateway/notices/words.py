"""Names of days, months and codes in both languages."""

from __future__ import annotations

WEEKDAYS = {
    "ja": "月火水木金土日",
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
CHOICES = {
    "ja": {
        "interruption": {
            "MAINTENANCE": "設備の保守または工事",
            "FORCE_MAJEURE": "天災その他の非常事態",
            "LINE": "通信回線の障害",
            "DISORDER": "システムの障害",
            "OPERATIONAL": "運用上または技術上の理由",
        },
        "method": {"bank_debit": "口座振替", "invoice": "請求書による銀行振込"},
        "ground": {
            "legal": "法令または公的機関の命令（利用規約第14条第1号）",
            "system_management_company": "システム管理会社による規約の維持管理（利用規約第14条第2号）",
            **{f"9-{item}": f"利用規約第9条第1項第{item}号に関する確認（利用規約第14条第3号）" for item in range(2, 8)},
        },
        "termination": {f"17(1){item}": f"利用規約第17条第1項第{item}号" for item in range(1, 9)},
        "field": {
            "name": "名称", "address": "住所", "contact": "ご担当者", "email": "メールアドレス", "language": "言語",
        },
    },
    "en": {
        "interruption": {
            "MAINTENANCE": "maintenance of or work on our equipment",
            "FORCE_MAJEURE": "force majeure",
            "LINE": "a failure of communication lines",
            "DISORDER": "a disorder of the system",
            "OPERATIONAL": "operational or technical reasons",
        },
        "method": {"bank_debit": "bank debit", "invoice": "bank transfer on invoice"},
        "ground": {
            "legal": "an order by law or by an authority (Terms of Service, article 14, no. 1)",
            "system_management_company": "upkeep of the terms by the system management company (article 14, no. 2)",
            **{f"9-{item}": f"an act of article 9(1), no. {item}, is examined (article 14(3))" for item in range(2, 8)},
        },
        "termination": {f"17(1){item}": f"article 17(1), no. {item}, of the Terms of Service" for item in range(1, 9)},
        "field": {
            "name": "name", "address": "address", "contact": "contact", "email": "e-mail", "language": "language",
        },
    },
}  # fmt: skip
