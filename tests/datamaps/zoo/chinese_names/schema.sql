CREATE SCHEMA 业务;
SET search_path = 业务;

CREATE TABLE 客户 (编号 int PRIMARY KEY, 账号 text NOT NULL, 姓名 text NOT NULL);
CREATE INDEX ON 客户 (账号);
CREATE TABLE 交易流水 (流水号 int PRIMARY KEY, 客户编号 int NOT NULL REFERENCES 客户, 交易日期 date NOT NULL, 状态 text);
CREATE INDEX ON 交易流水 (客户编号);

INSERT INTO 客户 VALUES (1, '七号', '林晓'), (2, '八号', '吴刚');
INSERT INTO 交易流水 VALUES
    (10, 1, '2020-02-29', '完成'), (11, 1, '2021-11-23', '完成'), (12, 1, '2025-12-31', '作废'), (20, 2, '2026-11-23', '完成');
