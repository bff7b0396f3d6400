"""Every sentence of the decision page, in each language: one table."""

from __future__ import annotations

LANGUAGES = ("en", "ja")

#: key to the text in each language, in the order of :data:`LANGUAGES`
TEXTS: dict[str, tuple[str, str]] = {
    "title": (
        "Does one engine pay? {names}",
        "一つのエンジンに価値はあるか: {names}",
    ),
    "about": (
        "Each figure below was measured, or is counted from measured ones; what was not measured "
        "says so. The commands that print the figures stand at the end.",
        "以下の数値はすべて実測値、または実測値から計算した値です。"
        "測定していないものはその旨を記します。数値を出力するコマンドは末尾にあります。",
    ),
    "engine": ("{name} for {target}", "{name}({target} 向け)"),
    "short": ("In short", "要点"),
    "goals_unknown": (
        "Goals: not known; the engine does not carry them, and its build is not beside it",
        "目標: 不明(エンジンには含まれず、ビルドの記録も隣にありません)",
    ),
    "goal_met": (
        "Goal met: {goal}; by {path}: {found}",
        "目標達成: {goal}。{path} による: {found}",
    ),
    "goal_missed": (
        "Goal not met: {goal}; the nearest is {path}: {found}",
        "目標未達: {goal}。最も近いのは {path}: {found}",
    ),
    "goal_open": (
        "Goal not known yet: {goal}; perhaps {path}: {found}",
        "目標は未確認: {goal}。候補は {path}: {found}",
    ),
    "goal_best": (
        "; that is the fastest, the most accurate is {path}: {found}",
        "。これが最速で、最も正確なのは {path}: {found}",
    ),
    "goal_lose": ("lose at most {amount}", "品質の低下は {amount} 以内"),
    "goal_share": (
        "take at most {share} of the original's time",
        "時間は元のモデルの {share} 以内",
    ),
    "goal_ms": ("take at most {ms} ms", "時間は {ms} ms 以内"),
    "goal_bytes": ("need at most {size} of weights", "重みは {size} 以内"),
    "and": (" and ", "、かつ"),
    "comma": (", ", "、"),
    "of_original": ("{share} of the original's time", "元のモデルの時間の {share}"),
    "of_weights": ("{size} of weights", "重み {size}"),
    "pays": ("Pays: {text}", "有利: {text}"),
    "trade": ("At a price: {text}", "引き換え: {text}"),
    "does_not": ("Does not pay: {text}", "不利: {text}"),
    "even": ("No difference: {text}", "差なし: {text}"),
    "storage": (
        "storage: {engine} in one file, {separate} as {count} files of separate models, graphs "
        "included",
        "ストレージ: 1 ファイルで {engine}、{count} 個の個別モデルのファイル(グラフ込み)では "
        "{separate}",
    ),
    "memory": (
        "memory with all paths in use: {engine}, against {separate}",
        "全パス使用時のメモリ: {engine}、個別モデルでは {separate}",
    ),
    "latency": (
        "time of a call: {ratio} of the same path alone, with noise of {noise}",
        "1 回の呼び出し時間: 同じパス単独の {ratio}(ノイズ {noise})",
    ),
    "one_speed": (
        "where one speed is enough: {path} alone is a file of {alone}, the engine one of {engine}",
        "速度が一つで足りる場合: {path} 単独なら {alone}、エンジンは {engine}",
    ),
    "faster": (
        "speed: {path} takes {share} of the original's time, {loss}",
        "速度: {path} は元のモデルの {share} の時間で動き、{loss}",
    ),
    "slower": (
        "speed: {path} is slower than the original, at {share} of its time",
        "速度: {path} は元のモデルより遅く、その {share} の時間がかかります",
    ),
    "not_faster": (
        "speed: no path is faster than the original by more than the noise",
        "速度: ノイズを超えて元のモデルより速いパスはありません",
    ),
    "no_original": (
        "the model is a supernet: there is no original that losses could be held against",
        "モデルはスーパーネットなので、損失を比べる元のモデルがありません",
    ),
    "single": (
        "the engine has one path: there is nothing to switch between",
        "エンジンにはパスが一つしかなく、切り替える相手がありません",
    ),
    "loses": ("losing {amount}", "品質の低下は {amount}"),
    "gains": ("gaining {amount}", "品質は {amount} 向上します"),
    "points": ("{value} points", "{value} ポイント"),
    "paths": ("What each path costs and loses", "各パスのコストと損失"),
    "path": ("path", "パス"),
    "against_original": ("{unit} against the original", "元のモデルとの差({unit})"),
    "unit_points": ("points", "ポイント"),
    "p50": ("p50, ms", "p50(ms)"),
    "saved": ("time saved", "時間の削減"),
    "alone": ("file of it alone", "単独のファイル"),
    "weights": ("its weights", "重み"),
    "original": ("original", "元のモデル"),
    "against": (
        "One engine against {count} separate models",
        "1 個のエンジンと {count} 個の個別モデル",
    ),
    "against_note": (
        "Both were built from the same weights, and measured side by side on this machine.",
        "両者を同じ重みから作り、このマシンで並べて測定しました。",
    ),
    "doubtful": ("Latencies are doubtful: {noise}.", "レイテンシには疑いがあります: {noise}。"),
    "what": ("what", "項目"),
    "in_engine": ("engine", "エンジン"),
    "in_separate": ("separate models", "個別モデル"),
    "row_storage": ("storage on a device", "デバイス上のストレージ"),
    "row_private": ("memory that nobody shares", "共有されないメモリ"),
    "row_total": ("memory in all", "メモリの合計"),
    "row_call": ("call of a path, median", "パスの呼び出し(中央値)"),
    "row_transfer": ("transfer of a first installation", "初回インストールの転送量"),
    "row_training": ("training", "学習時間"),
    "row_training_together": (
        "training, once for {targets} targets",
        "学習時間({targets} ターゲットで 1 回)",
    ),
    "row_build": (
        "measuring, searching, compiling, verifying",
        "測定・探索・コンパイル・検証の時間",
    ),
    "row_energy": ("energy of a call", "1 回の呼び出しのエネルギー"),
    "not_measured": ("not measured", "未測定"),
    "fleet": ("A fleet of {devices} devices", "{devices} 台の運用"),
    "fleet_saves": (
        "An update of everything sends {engine} to {devices} devices as an engine, and {separate} "
        "as separate models: {difference} less.",
        "全体の更新で {devices} 台に送る量は、エンジンなら {engine}、"
        "個別モデルなら {separate}、差は {difference} の削減です。",
    ),
    "fleet_costs": (
        "An update of everything sends {engine} to {devices} devices as an engine, and {separate} "
        "as separate models: {difference} more.",
        "全体の更新で {devices} 台に送る量は、エンジンなら {engine}、"
        "個別モデルなら {separate}、差は {difference} の増加です。",
    ),
    "fleet_delta": (
        "Counted from the file sizes above. `tipsc delta OLD NEW -o FILE` says how much less a "
        "change sends.",
        "上のファイルサイズからの計算値です。変更分だけを送る量は "
        "`tipsc delta OLD NEW -o FILE` で分かります。",
    ),
    "steps": ("What an engineer does", "技術者の作業"),
    "steps_note": (
        "Counted, not measured: hours depend on the team.",
        "回数の計算であり、測定値ではありません。時間はチームによります。",
    ),
    "step": ("step", "作業"),
    "step_train": ("trainings to look after", "管理する学習"),
    "step_export": ("exports and comparisons with torch", "エクスポートと torch との比較"),
    "step_measure": ("measurements to arrange on the device", "デバイスで手配する測定"),
    "step_files": ("files to version and to send", "版管理して配布するファイル"),
    "gaps": ("What was not measured, and why", "測定していないものと理由"),
    "gap_separate": ("Separate models: {why}.", "個別モデル: {why}。"),
    "gap_training": (
        "Training time of separate models: nobody trained them. `build.share_loss` has each path "
        "trained alone as well, and then says what sharing costs.",
        "個別モデルの学習時間: 学習していません。`build.share_loss` を指定すると各パスを"
        "単独でも学習し、共有による損失を示します。",
    ),
    "gap_stages": (
        "Time of the build: its stages are not beside the engine.",
        "ビルド時間: エンジンの隣にステージの記録がありません。",
    ),
    "gap_energy": (
        "Energy: this engine records none, since it was not measured on a device with a power "
        "sensor. `tipsc bench ENGINE --all --device URL` measures it where there is one.",
        "エネルギー: 電力センサーのあるデバイスで測定していないため、このエンジンには記録が"
        "ありません。センサーがあれば `tipsc bench ENGINE --all --device URL` で測定できます。",
    ),
    "gap_alone_energy": (
        "Energy of separate models: they were not run on the device.",
        "個別モデルのエネルギー: デバイスでは実行していません。",
    ),
    "gap_machine": (
        "Memory and calls of both were measured on this machine, which may not be the device.",
        "両者のメモリと呼び出し時間はこのマシンで測定しました。対象デバイスとは限りません。",
    ),
    "gap_hours": (
        "Hours of work, and what a mistake costs: nothing here knows them.",
        "作業時間と失敗のコスト: ここでは分かりません。",
    ),
    "plan": ("A plan in stages", "段階的な計画"),
    "plan_pilot": (
        "Pilot on one device: does it run there, and as fast as recorded?",
        "1 台での試行: 動作するか、記録どおりの速さか。",
    ),
    "plan_shadow": (
        "Shadow run: recorded inputs (one a row of RECORDED.npy) go through the engine beside the "
        "model in use; only the latter's answers count. The trace says which paths ran, and which "
        "calls were late.",
        "シャドー実行: 記録した入力(RECORDED.npy の各行)を現行モデルと並行してエンジンにも通し、"
        "結果は現行モデルのものだけを使います。どのパスが動き、どの呼び出しが遅れたかは"
        "トレースで分かります。",
    ),
    "plan_rollout": (
        "Roll-out to a part of the devices, the others as they are (A/B); the old file stays for "
        "the way back.",
        "一部のデバイスへの展開(A/B): 残りは現状のまま。戻せるよう旧ファイルを残します。",
    ),
    "commands": ("Where the figures come from", "数値の出どころ"),
    "footer": (
        "Written by tipsc {version}. Sizes are decimal: 1 MB = 10⁶ bytes.",
        "tipsc {version} が作成。サイズは 10 進: 1 MB = 10⁶ バイト。",
    ),
}


class Texts:
    """The texts in one language: ``texts("key", value=...)``."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """The sentence of a key with its figures."""
        return TEXTS[key][self._place].format(**values)
