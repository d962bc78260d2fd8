"""What the board says, in both languages. No names of customers, hosts, paths or versions ever come to it (SEC-01)."""

from __future__ import annotations

LANGUAGES = ("ja", "en")

STATES = {
    "ok": ("正常に稼働しています", "The service works normally"),
    "planned": ("予定", "planned"),
    "partial": ("一部に障害が発生しています", "There is a fault in part of the service"),
    "some": ("一部のお客様に影響が出ています", "Some customers are affected"),
    "maintenance": ("メンテナンス中です", "Maintenance is under way"),
    "interrupted": ("サービスを中断しています", "The service is interrupted"),
    "outage": ("障害が発生しています", "There is an outage"),
}
"""Whole states of the service, the mildest first."""

PHASES = {
    "planned": ("予定", "planned"),
    "now": ("継続中", "under way"),
    "over": ("終了", "over"),
    "news": ("お知らせ", "notice"),
}

KINDS = {
    "regular": ("定期メンテナンス", "Regular maintenance"),
    "maintenance": ("臨時メンテナンス", "Maintenance"),
    "interruption": ("サービスの中断", "Interruption of the service"),
    "incident": ("障害", "Outage"),
    "partial": ("一部機能の障害", "Fault in part of the service"),
    "news": ("お知らせ", "Notice"),
    "terms": ("利用規約の改定", "Revision of the Terms of Service"),
    "conditions": ("料金・サービス内容の改定", "Change of prices or conditions"),
    "discontinuation": ("サービスの終了", "Discontinuation of the service"),
    "transfer": ("事業譲渡", "Transfer of the business"),
}

STEPS = {
    "maintenance.posted": ("掲載しました", "Posted"),
    "maintenance.announced": ("掲載しました", "Posted"),
    "maintenance.extended": ("終了時刻を変更しました", "The end was moved"),
    "maintenance.closed": ("予定より早く終了しました", "Ended early"),
    "interruption.opened": ("中断を開始しました", "The interruption was opened"),
    "interruption.closed": ("サービスを再開しました", "The service was opened again"),
    "incident.recognised": ("障害を認知しました", "The outage was recognised"),
    "incident.recovered": ("復旧しました", "The service recovered"),
    "incident.cause_reported": ("原因を報告しました", "The cause was reported"),
    "incident.corrected": ("記録を訂正しました", "The record was corrected"),
    "incident.dismissed": ("障害ではないことを確認しました", "It was found to be no outage"),
    "announcement.made": ("掲載しました", "Posted"),
    "revision.terms_announced": ("掲載しました", "Posted"),
    "revision.conditions_announced": ("掲載しました", "Posted"),
    "discontinuation.announced": ("掲載しました", "Posted"),
    "transfer.announced": ("掲載しました", "Posted"),
}
"""Kinds of acts that the public may see, as one line of an entry's course."""

PAGE = {
    "now": ("現在の状況", "Now"),
    "ahead": ("今後の予定", "Ahead"),
    "news": ("お知らせ", "Notices"),
    "recent": ("最近の記録", "Recent"),
    "history": ("過去の記録", "History"),
    "all_history": ("すべての記録を見る", "All records"),
    "back": ("現在の状況に戻る", "Back to the present state"),
    "none_now": ("継続中の障害・メンテナンスはありません。", "No outage and no maintenance at present."),
    "none_ahead": ("予定されているメンテナンスはありません。", "No maintenance is planned."),
    "none_recent": ("過去30日間の記録はありません。", "Nothing in the last 30 days."),
    "none_history": ("記録はありません。", "Nothing yet."),
    "from": ("開始", "From"),
    "to": ("終了", "To"),
    "recognised": ("認知", "Recognised"),
    "recovered": ("復旧", "Recovered"),
    "effective": ("適用日", "In force"),
    "last_day": ("最終日", "Last day"),
    "open_end": ("未定", "not known yet"),
    "scope": ("対象", "Concerns"),
    "some": ("一部のお客様", "some customers"),
    "work": ("内容", "Work"),
    "reason": ("理由", "Reason"),
    "parts": ("影響範囲", "Parts"),
    "cause": ("原因", "Cause"),
    "course": ("経過", "Course"),
    "written": ("この表示の作成時刻", "This page was written"),
    "stale": (
        "このページは1分ごとに作成されます。時刻が古い場合は、最新の状況と異なることがあります。",
        "It is written once a minute. If that was longer ago, it may not show the present state.",
    ),
    "times": ("時刻はすべて日本時間です。", "All times are those of Japan."),
    "other": ("English", "日本語"),
    "feed": ("更新情報（Atom）", "Updates (Atom)"),
}


def pick(pair: tuple[str, str], language: str) -> str:
    return pair[LANGUAGES.index(language)]
