-- An in-memory database at work: tables, 10,000 inserts, indexes, joins, aggregates, a view, a trigger, a rollback, and
-- copies into files.
CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE book(id INTEGER PRIMARY KEY, author INTEGER REFERENCES author, title TEXT, pages INTEGER, price REAL);
CREATE TABLE log(what TEXT);
CREATE TRIGGER dear AFTER UPDATE OF price ON book WHEN new.price > 90 BEGIN
    INSERT INTO log VALUES (new.title || ' costs ' || new.price);
END;
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
INSERT INTO author SELECT i, 'author ' || (i * 7919 % 211) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
INSERT INTO book SELECT i, 1 + i * 31 % 200, 'title ' || (i * 7907 % 10007), 50 + i * 37 % 900, (i * 13 % 1000) / 10.0 FROM n;
COMMIT;
CREATE INDEX book_author ON book(author);
CREATE UNIQUE INDEX book_title ON book(title);
CREATE VIEW shelf AS SELECT name, count(*) AS books, sum(pages) AS pages, avg(price) AS price
    FROM author JOIN book ON book.author = author.id GROUP BY author.id;
ANALYZE;
SELECT * FROM shelf ORDER BY pages DESC, name LIMIT 5;
SELECT count(*), min(title), max(title), total(price) FROM book WHERE title LIKE 'title 9%';
UPDATE book SET price = price * 1.1 WHERE pages BETWEEN 900 AND 910;
SELECT count(*), max(what) FROM log;
BEGIN;
DELETE FROM book WHERE id % 2;
SELECT count(*) FROM book;
ROLLBACK;
SELECT count(*) FROM book;
SELECT a.title, b.title FROM book a JOIN book b ON b.author = a.author AND b.pages = a.pages AND b.id > a.id
    ORDER BY 1, 2 LIMIT 4;
SELECT id, pages, sum(pages) OVER (ORDER BY id ROWS 2 PRECEDING) FROM book WHERE id % 2500 = 0;
SELECT json_extract('{"a":[1,2,{"b":"found"}]}', '$.a[2].b'), printf('%.3f', 2.0 / 3), upper(hex(zeroblob(3)));
INSERT INTO book VALUES (1, 1, 'twice', 1, 1);
SELECT length(group_concat(title)) FROM (SELECT title FROM book ORDER BY pages, title);
PRAGMA integrity_check;
VACUUM INTO 'copy.db';
ATTACH 'copy.db' AS copy;
SELECT count(*), sum(pages) FROM copy.book;
DELETE FROM copy.book WHERE pages < 500;
SELECT count(*), sum(pages) FROM copy.book;
DETACH copy;
